//! What templates see: sources, and where upstream names lead.

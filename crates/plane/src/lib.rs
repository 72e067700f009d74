//! The control plane: what each group of proxies should have, and what it has.

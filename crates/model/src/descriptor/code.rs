//! The codes of refusals: stable names of mistakes, each with its page.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $title:literal, $text:expr;)*) => {
        /// What kind of mistake. A code keeps its meaning across releases.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $($(#[doc = $doc])* #[serde(rename = $code)] $name,)*
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as users see it, such as `MG1004`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The mistake in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// Cause and mend, as Markdown.
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// Neither YAML nor JSON.
    Syntax = "MG1001", "The text cannot be read", include_str!("codes/1001.md");
    /// A key, or an item of a list, twice.
    Duplicate = "MG1002", "The same thing is written twice", include_str!("codes/1002.md");
    /// Beyond the limits of a document.
    TooMuch = "MG1003", "The document is too large", include_str!("codes/1003.md");
    /// A key that means nothing where it stands.
    UnknownKey = "MG1004", "Unknown or misplaced key", include_str!("codes/1004.md");
    /// A value of the wrong kind, such as a number for a duration.
    WrongType = "MG1005", "The wrong kind of value", include_str!("codes/1005.md");
    /// Something without which the rest has no meaning.
    MissingKey = "MG1007", "A key is missing", include_str!("codes/1007.md");
    /// The right kind of value, but not one of those allowed.
    BadValue = "MG1008", "A value that is not allowed", include_str!("codes/1008.md");
    /// Keys that exclude each other, or have no effect together.
    Contradiction = "MG1009", "Two things exclude each other", include_str!("codes/1009.md");
    /// A name without an upstream, or the reverse.
    Upstream = "MG2001", "An upstream is missing or unused", include_str!("codes/2001.md");
    /// Traffic would loop through the edge.
    Loop = "MG2002", "An upstream leads back to the edge", include_str!("codes/2002.md");
    /// Another service has it, as the broker says, which knows them all.
    Taken = "MG2101", "A hostname is somebody else's", include_str!("codes/2101.md");
    /// Wildcards are granted, not taken.
    Wildcard = "MG2103", "A wildcard hostname", include_str!("codes/2103.md");
    /// Nothing says which route wins.
    Tie = "MG2201", "Two routes match the same requests", include_str!("codes/2201.md");
    /// What no request can reach.
    Unreachable = "MG2202", "No request can get here", include_str!("codes/2202.md");
    /// From which a client never arrives.
    Circle = "MG2204", "A redirect goes in a circle", include_str!("codes/2204.md");
    /// Not in the form in which paths reach a route.
    Path = "MG2206", "A path that no request can have", include_str!("codes/2206.md");
    /// Nothing would be sent anywhere.
    Weights = "MG2301", "The weights add up to 0", include_str!("codes/2301.md");
    /// `perTryTimeout` above the request's timeout.
    TryTimeout = "MG2303", "A try takes longer than the request", include_str!("codes/2303.md");
    /// A status out of range, or a body where there is none.
    BadStatus = "MG2304", "A status that does not fit", include_str!("codes/2304.md");
    /// Hop-by-hop headers, and the platform's.
    Header = "MG2404", "A header that is not yours to touch", include_str!("codes/2404.md");
    /// More than the team may have, as the broker says, which counts.
    Quota = "MG2501", "More than a team may have", include_str!("codes/2501.md");
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The explanation of a code such as `MG1004`, as Markdown; `None` when there is no such code.
pub fn explain(code: &str) -> Option<&'static str> {
    Code::ALL.iter().find(|known| known.as_str().eq_ignore_ascii_case(code)).map(|c| c.text())
}

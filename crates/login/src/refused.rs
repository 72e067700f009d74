//! Why somebody does not come in with what an issuer has signed, in words for that person.

/// Why a token is not accepted. Nothing of the token but its groups is repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Longer than the broker reads.
    #[error("the login is longer than 16 KiB: ask the issuer to put fewer groups into it")]
    TooLong,
    /// No JWT.
    #[error("the credential is neither a token of Margrave nor a login that an issuer has signed")]
    Malformed,
    /// `none`, `HS256` and everything else.
    #[error("the login is signed with something else than RS256, ES256 or EdDSA")]
    Algorithm,
    /// `crit`.
    #[error("the login demands what Margrave does not know")]
    Critical,
    /// `typ`.
    #[error("what the issuer has signed is no ID token: log in with `margrave login`")]
    Type,
    /// `kid`.
    #[error("the login does not say which key it is signed with")]
    KeyId,
    /// The payload.
    #[error("the login lacks claims that an ID token must have, or has them in another form")]
    Claims,
    /// `iss`.
    #[error("the login is of another issuer than the one that this platform trusts")]
    Issuer,
    /// `aud`.
    #[error("the login is meant for another audience: log in with `margrave login`")]
    Audience,
    /// `azp`.
    #[error("the login was given to another client: log in with `margrave login`")]
    Party,
    /// `exp`.
    #[error("the login has expired: log in again with `margrave login`")]
    Expired,
    /// `iat`, and a day.
    #[error("the login is more than a day old: log in again with `margrave login`")]
    Old,
    /// `nbf`, `iat`.
    #[error("the login is not good yet: one of the clocks of issuer and platform is wrong")]
    NotYet,
    /// No such key.
    #[error("the login is signed with a key that the issuer does not publish: log in again")]
    UnknownKey,
    /// Another's signature.
    #[error("the login was not signed by the issuer")]
    Signature,
    /// No groups at all.
    #[error("the login names no groups (claim `{claim}`), so that it is of no team: {}", missing(.overflowing))]
    NoGroups {
        /// Where they should be.
        claim: String,
        /// The issuer says that there are too many.
        overflowing: bool,
    },
    /// None of a team.
    #[error("none of your groups ({groups}) is of a team here; these are: {teams}")]
    NoTeam {
        /// The groups.
        groups: String,
        /// Those that would do.
        teams: String,
    },
    /// More teams than a person has.
    #[error("your groups lead to more than {0} teams: ask the platform's operators")]
    TooManyTeams(usize),
}

impl Refused {
    /// A word for the metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Critical => "critical",
            Self::Type => "type",
            Self::KeyId => "key_id",
            Self::Claims => "claims",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Party => "party",
            Self::Expired => "expired",
            Self::Old => "old",
            Self::NotYet => "not_yet",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::NoGroups { .. } => "no_groups",
            Self::NoTeam { .. } => "no_team",
            Self::TooManyTeams(_) => "too_many_teams",
        }
    }
}

fn missing(overflowing: &bool) -> &'static str {
    match overflowing {
        true => "the issuer left them out because there are too many; ask it to send fewer",
        false => "ask whoever runs the issuer to put them into ID tokens",
    }
}

//! From the groups of an issuer to the teams of the platform.

use std::collections::BTreeSet;

use model::{ORGANIZATION, Role};

/// Rules of one platform.
const RULES_MAX: usize = 1_000;
/// Teams of one person.
pub(crate) const TEAMS_MAX: usize = 256;
/// The longest team, in bytes (OSB recommends at most 255 for a space).
const TEAM_BYTES_MAX: usize = 255;
/// Groups that a message names.
const SHOWN_MAX: usize = 10;

/// Which groups are of which teams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teams {
    rules: Vec<Rule>,
    operators: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    group: Pattern,
    team: Pattern,
}

/// A text, or what stands before and after something that varies.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Around(String, String),
}

/// Why a rule makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No `=`.
    #[error("`{0}` is not `GROUP=TEAM`")]
    NoTeam(String),
    /// Stars on one side only, or two.
    #[error("`{0}`: a `*` stands once on both sides of the `=`, or on neither")]
    Stars(String),
    /// No team.
    #[error("`{0}`: a team has 1 to 255 bytes and no control characters")]
    Team(String),
    /// Nobody comes in.
    #[error("gives nobody a team: `GROUP=TEAM`, separated by `;`")]
    None,
    /// Too many.
    #[error("has more than 1,000 rules")]
    TooMany,
}

impl Teams {
    /// From `GROUP=TEAM; GROUP=TEAM` and `GROUP; GROUP`. In a rule with a `*` on both sides, what the
    /// first stands for is what the second stands for.
    ///
    /// # Errors
    /// One of the rules makes no sense, or nobody would come in.
    pub fn parse(teams: &str, operators: &str) -> Result<Self, RuleError> {
        let rules = parts(teams).map(Rule::parse).collect::<Result<Vec<_>, _>>()?;
        let operators: BTreeSet<String> = parts(operators).map(str::to_owned).collect();
        if rules.is_empty() && operators.is_empty() {
            return Err(RuleError::None);
        }
        if rules.len() + operators.len() > RULES_MAX {
            return Err(RuleError::TooMany);
        }
        Ok(Self { rules, operators })
    }

    /// What somebody of these groups may do; `None`: nothing. Or into how many teams too many they
    /// lead.
    pub(crate) fn role(&self, groups: &BTreeSet<&str>) -> Result<Option<Role>, usize> {
        if groups.iter().any(|group| self.operators.contains(*group)) {
            return Ok(Some(Role::Operator));
        }
        let of =
            |group: &str| self.rules.iter().filter_map(|rule| rule.team(group)).collect::<Vec<_>>();
        let teams: BTreeSet<String> = groups.iter().flat_map(|group| of(group)).collect();
        match teams.len() {
            0 => Ok(None),
            count if count > TEAMS_MAX => Err(TEAMS_MAX),
            _ => Ok(Some(Role::Member { organization: ORGANIZATION.to_owned(), teams })),
        }
    }

    /// The groups that lead somewhere, for somebody who is in none.
    pub(crate) fn shown(&self) -> String {
        let rules = self.rules.iter().map(|rule| rule.group.shown());
        some(rules.chain(self.operators.iter().cloned()))
    }
}

/// The first few, and that there are more.
pub(crate) fn some(all: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<String> = all.take(SHOWN_MAX + 1).collect();
    if shown.len() > SHOWN_MAX {
        shown.truncate(SHOWN_MAX);
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// Names of groups hold commas and `=` (LDAP): the separators are `;` and line breaks.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\n']).map(str::trim).filter(|part| !part.is_empty())
}

impl Rule {
    fn parse(text: &str) -> Result<Self, RuleError> {
        let no_team = || RuleError::NoTeam(text.to_owned());
        let (group, team) = text.rsplit_once('=').ok_or_else(no_team)?;
        let (group, team) = (group.trim(), team.trim());
        if group.is_empty() || team.is_empty() {
            return Err(no_team());
        }
        if !is_team(team) {
            return Err(RuleError::Team(text.to_owned()));
        }
        let pattern = |side| Pattern::parse(side).ok_or_else(|| RuleError::Stars(text.to_owned()));
        let rule = Self { group: pattern(group)?, team: pattern(team)? };
        let alike =
            matches!(rule.group, Pattern::Exact(_)) == matches!(rule.team, Pattern::Exact(_));
        alike.then_some(rule).ok_or_else(|| RuleError::Stars(text.to_owned()))
    }

    /// The team that a group leads to.
    fn team(&self, group: &str) -> Option<String> {
        let team = match (&self.group, &self.team) {
            (Pattern::Exact(this), Pattern::Exact(team)) => {
                (this == group).then(|| team.clone())?
            }
            (Pattern::Around(before, after), Pattern::Around(head, tail)) => {
                let inner = group.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                (!inner.is_empty()).then(|| format!("{head}{inner}{tail}"))?
            }
            _ => return None,
        };
        is_team(&team).then_some(team)
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        match text.split('*').collect::<Vec<_>>().as_slice() {
            [all] => Some(Self::Exact((*all).to_owned())),
            [before, after] => Some(Self::Around((*before).to_owned(), (*after).to_owned())),
            _ => None,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Exact(all) => all.clone(),
            Self::Around(before, after) => format!("{before}*{after}"),
        }
    }
}

fn is_team(text: &str) -> bool {
    (1..=TEAM_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lead_to_teams() {
        let rules = "eng-shop=shop; CN=pay,OU=eng,DC=example=pay\nteam-*=*;/x/*/y=x-*;shops=shop";
        let teams = Teams::parse(rules, "sre; CN=ops,OU=eng").unwrap();
        for (groups, expected) in [
            (&["eng-shop"][..], "shop"),
            (&["eng-shop", "shops"], "shop"),
            (&["CN=pay,OU=eng,DC=example"], "pay"),
            (&["team-cart", "eng-shop", "nothing"], "cart shop"),
            (&["/x/a/y"], "x-a"),
            (&["team-"], ""),
            (&["team-a\u{7}b"], ""),
            (&["ENG-SHOP", "eng-shop ", "xeng-shop"], ""),
            (&["sre"], "operator"),
            (&["CN=ops,OU=eng", "eng-shop"], "operator"),
            (&[], ""),
        ] {
            let shown = match teams.role(&groups.iter().copied().collect()) {
                Ok(None) => String::new(),
                Ok(Some(Role::Operator)) => "operator".to_owned(),
                Ok(Some(Role::Member { organization, teams })) => {
                    assert_eq!(organization, "margrave");
                    teams.into_iter().collect::<Vec<_>>().join(" ")
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(shown, expected, "{groups:?}");
        }
    }

    #[test]
    fn nobody_is_of_too_many_teams() {
        let teams = Teams::parse("t-*=*", "").unwrap();
        let names: Vec<String> = (0..=TEAMS_MAX).map(|n| format!("t-{n}")).collect();
        let groups: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(teams.role(&groups), Err(TEAMS_MAX));
    }

    #[test]
    fn rules_that_make_no_sense_are_told() {
        for (teams, operators, expected) in [
            ("", " ; ", "gives nobody a team: `GROUP=TEAM`, separated by `;`"),
            ("shop", "", "`shop` is not `GROUP=TEAM`"),
            ("a=b;=c", "", "`=c` is not `GROUP=TEAM`"),
            ("a=", "x", "`a=` is not `GROUP=TEAM`"),
            ("a*=b", "", "`a*=b`: a `*` stands once on both sides of the `=`, or on neither"),
            ("a*b*=*", "", "`a*b*=*`: a `*` stands once on both sides of the `=`, or on neither"),
            ("a=\u{7}", "", "`a=\u{7}`: a team has 1 to 255 bytes and no control characters"),
        ] {
            let told = Teams::parse(teams, operators).unwrap_err().to_string();
            assert_eq!(told, expected, "{teams:?} {operators:?}");
        }
        let shown = Teams::parse("a=b;t-*=*", "ops").unwrap().shown();
        assert_eq!(shown, "a, t-*, ops");
    }
}

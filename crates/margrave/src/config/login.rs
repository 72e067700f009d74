//! The settings about logging in, checked: what is wrong with them is told at the start, not to the
//! first who logs in.

use login::{Settings, Teams};

use super::parse::Reader;

/// The longest client and the longest claim, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Where people log in; `None`: nowhere, or there is a problem.
pub(super) fn settings(read: &mut Reader<'_>) -> Option<Settings> {
    if read.text("login.issuer").is_empty() {
        let others = ["login.client_id", "login.audience", "login.teams", "login.operators"];
        for key in others {
            if !read.text(key).is_empty() {
                read.problem(key, "is set, but `login.issuer` is not");
            }
        }
        return None;
    }
    let issuer = checked(read, "login.issuer", |text| text.parse::<login::IssuerUrl>());
    let client_id = name(read, "login.client_id");
    let audience = match read.text("login.audience") {
        text if text.is_empty() => client_id.clone(),
        _ => name(read, "login.audience"),
    };
    let scope = checked(read, "login.scope", scope);
    let groups_claim = name(read, "login.groups_claim");
    let name_claim = name(read, "login.name_claim");
    let operators = read.text("login.operators");
    let teams = checked(read, "login.teams", |text| Teams::parse(text, &operators));
    Some(Settings {
        issuer: issuer?,
        client_id: client_id?,
        audience: audience?,
        scope: scope?,
        groups_claim: groups_claim?,
        name_claim: name_claim?,
        teams: teams?,
    })
}

fn checked<T, E: std::fmt::Display>(
    read: &mut Reader<'_>,
    key: &str,
    check: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let problem = match check(&read.text(key)) {
        Ok(value) => return Some(value),
        Err(problem) => problem.to_string(),
    };
    read.problem(key, &problem);
    None
}

/// A name that can be quoted in a header.
fn name(read: &mut Reader<'_>, key: &str) -> Option<String> {
    checked(read, key, |text| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
            true => Ok(text.to_owned()),
            false if text.is_empty() => Err("is missing beside `login.issuer`"),
            false => Err("must have 1 to 256 letters, digits and signs, without spaces and quotes"),
        }
    })
}

/// RFC 6749, 3.3, with what makes it OpenID Connect.
fn scope(text: &str) -> Result<String, &'static str> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    if text.len() > NAME_BYTES_MAX || !words.iter().all(|word| word.bytes().all(is_plain)) {
        return Err("must be words separated by spaces, 256 bytes at most");
    }
    if !words.contains(&"openid") {
        return Err("must hold `openid`: without it no issuer gives an ID token");
    }
    Ok(words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Layers, parse};
    use super::*;

    fn check(file: &str) -> (Option<Settings>, Vec<String>) {
        let mut layers = Layers::defaults();
        assert_eq!(layers.file(Path::new("m.toml"), file, &|_| None), Vec::<String>::new());
        let (config, problems) = parse::config(&layers);
        (config.login, problems)
    }

    #[test]
    fn an_issuer_with_teams_is_enough() {
        let file = "[login]\nissuer = 'https://login.example.com/'\nclient_id = 'cli'\n\
                    teams = '''\nteam-*=*\nCN=shop,OU=x=shop\n'''\n";
        let (settings, problems) = check(file);
        assert_eq!(problems, Vec::<String>::new());
        let settings = settings.unwrap();
        assert_eq!(settings.issuer.as_str(), "https://login.example.com/");
        assert_eq!((settings.audience.as_str(), settings.groups_claim.as_str()), ("cli", "groups"));
        assert_eq!(settings.scope, "openid email offline_access");
        assert_eq!(check("").0, None);
    }

    #[test]
    fn what_is_wrong_is_told_at_the_start() {
        let check = |lines: &str| check(&format!("[login]\n{lines}")).1;
        let good = "issuer = 'https://a.example'\nclient_id = 'c'\nteams = 'a=b'\n";
        assert_eq!(check(good), Vec::<String>::new());
        let expected = ["m.toml:2:1: `login.client_id` is set, but `login.issuer` is not"];
        assert_eq!(check("client_id = 'c'"), expected);
        let bad = "issuer = 'http://a.example'\nscope = 'email'\nteams = 'a'\naudience = 'a b'\n";
        let expected = [
            "m.toml:2:1: `login.issuer` must begin with `https://`; `http://` is for an issuer on this machine",
            "default: `login.client_id` is missing beside `login.issuer`",
            "m.toml:5:1: `login.audience` must have 1 to 256 letters, digits and signs, without spaces and quotes",
            "m.toml:3:1: `login.scope` must hold `openid`: without it no issuer gives an ID token",
            "m.toml:4:1: `login.teams` `a` is not `GROUP=TEAM`",
        ];
        assert_eq!(check(bad), expected);
        let nobody = "issuer = 'https://a.example'\nclient_id = 'c'\n";
        let expected =
            ["default: `login.teams` gives nobody a team: `GROUP=TEAM`, separated by `;`"];
        assert_eq!(check(nobody), expected);
    }
}

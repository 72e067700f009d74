//! How xDS is encrypted, of the settings `xds_tls.*`.

use ::authority::{LIFE_MILLIS_MAX, LIFE_MILLIS_MIN};
use model::Millis;

use super::parse::Reader;
use crate::gate::{Shows, XdsTls};

/// The settings of `files`, all of which it needs.
const FILES: [&str; 4] =
    ["xds_tls.certificate", "xds_tls.key", "xds_tls.authority", "xds_tls.server_name"];

/// Checked; what is wrong is told to the reader.
pub(super) fn settings(read: &mut Reader<'_>) -> XdsTls {
    let mode = read.choice("xds_tls.mode");
    let shows = match mode.as_str() {
        "platform" => Some(Shows::Platform),
        "files" => files(read),
        _ => None,
    };
    // Whoever named them believes in them.
    let unused: &[&str] = match mode.as_str() {
        "platform" => &FILES,
        "files" => &[],
        _ => &[FILES[0], FILES[1], FILES[2], FILES[3], "xds_tls.client_ca"],
    };
    for key in unused.iter().filter(|key| !read.text(key).is_empty()).collect::<Vec<_>>() {
        read.problem(key, &format!("is for nothing: `xds_tls.mode` is `{mode}`"));
    }
    XdsTls {
        shows,
        client_ca: read.path("xds_tls.client_ca"),
        address: address(read),
        life: life(read),
    }
}

fn files(read: &mut Reader<'_>) -> Option<Shows> {
    let missing: Vec<_> = FILES.into_iter().filter(|key| read.text(key).is_empty()).collect();
    for key in &missing {
        read.problem(key, "is missing: `xds_tls.mode` is `files`");
    }
    missing.is_empty().then(|| Shows::Files {
        certificate: read.text("xds_tls.certificate").into(),
        key: read.text("xds_tls.key").into(),
        authority: read.text("xds_tls.authority").into(),
        name: read.text("xds_tls.server_name"),
    })
}

fn address(read: &mut Reader<'_>) -> Option<String> {
    let text = read.text("xds_tls.address");
    if text.is_empty() {
        return None;
    }
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    if port.is_none_or(|(_, port)| !matches!(port.parse::<u16>(), Ok(1..))) {
        read.problem("xds_tls.address", "must be HOST:PORT");
        return None;
    }
    Some(text)
}

fn life(read: &mut Reader<'_>) -> Millis {
    let text = read.text("xds_tls.life");
    let (digits, unit) = text.split_at(text.len().saturating_sub(1));
    let unit: Option<Millis> = match unit {
        "h" => Some(60 * 60 * 1000),
        "d" => Some(24 * 60 * 60 * 1000),
        _ => None,
    };
    let millis = unit.and_then(|unit| digits.parse::<Millis>().ok()?.checked_mul(unit));
    let millis = millis.filter(|it| (LIFE_MILLIS_MIN..=LIFE_MILLIS_MAX).contains(it));
    millis.unwrap_or_else(|| {
        read.problem("xds_tls.life", "must be from `1h` to `7d`");
        LIFE_MILLIS_MIN
    })
}

/// What is revoked is remembered for as long as a certificate can be good.
const _: () = assert!(LIFE_MILLIS_MAX <= store::CERTIFICATE_LIFE_MAX_MILLIS);

#[cfg(test)]
mod tests {
    use super::super::layers::Layers;
    use super::super::parse::config;

    fn problems(settings: &[(&'static str, &str)]) -> Vec<String> {
        let mut layers = Layers::defaults();
        layers.flags(&settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect());
        config(&layers).1
    }

    #[test]
    fn what_would_be_ignored_is_told() {
        let mode = |mode| ("xds_tls.mode", mode);
        for (settings, part) in [
            (&[mode("off"), ("xds_tls.client_ca", "a")][..], "`xds_tls.client_ca` is for nothing"),
            (&[mode("off"), ("xds_tls.key", "a")], "`xds_tls.mode` is `off`"),
            (&[mode("platform"), ("xds_tls.certificate", "a")], "`xds_tls.mode` is `platform`"),
        ] {
            let told = problems(settings);
            assert!(told.len() == 1 && told[0].contains(part), "{settings:?}: {told:?}");
        }
        let good = [mode("platform"), ("xds_tls.client_ca", "a"), ("xds_tls.address", "xds:1")];
        assert_eq!(problems(&good), Vec::<String>::new());
        assert_eq!(problems(&[mode("files"), ("xds_tls.key", "a")]).len(), 3);
    }
}

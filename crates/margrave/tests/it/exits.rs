//! How `margrave apply` ends, as a pipeline without a terminal sees it: the exit code, and lines that
//! are nothing but lines.

use std::process::Output;

use tokio::process::Command;

use crate::backend::Backend;
use crate::platform::Platform;

/// Runs it; what it says is text, line by line.
async fn apply(platform: &Platform, descriptor: &str, more: &[&str]) -> (Option<i32>, String) {
    std::fs::write(platform.state().join("margrave.yaml"), descriptor).expect("written");
    let output = platform.margrave(&[&["apply"], more].concat()).await;
    (output.status.code(), printed(&output))
}

fn printed(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8(both).expect("UTF-8");
    let steers = |letter: char| letter.is_control() && letter != '\n';
    assert!(!text.contains(steers), "it steers a terminal that is not there: {text:?}");
    text
}

/// The proxy of the platform is stopped, or goes on.
async fn signal(platform: &Platform, signal: &str) {
    let sent = Command::new("kill").args([signal, &platform.envoy().await]).status().await;
    assert!(sent.expect("kill runs").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_has_its_exit_code() {
    let mut platform = Platform::start().await;
    let web = Backend::start("web").await;
    let shop = format!("service: shop\nupstream: {}\n", web.url());

    let (code, said) = apply(&platform, &shop, &["--wait"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("\n  done    Waiting until every proxy has it ("), "{said}");
    let (code, said) = apply(&platform, &shop, &[]).await;
    assert_eq!((code, said.contains("shop: nothing to change")), (Some(0), true), "{said}");

    let (code, said) = apply(&platform, "service: shop\nupstrem: http://w:1\n", &[]).await;
    assert_eq!((code, said.contains("error[MG1004]")), (Some(3), true), "{said}");
    let other = format!("service: other\nhostnames: [shop.localhost]\nupstream: {}\n", web.url());
    let (code, said) = apply(&platform, &other, &[]).await;
    assert_eq!((code, said.contains("error[MG2101]")), (Some(3), true), "{said}");

    let meta = "service: meta\nupstream: http://169.254.169.254\n";
    let (code, failed) = apply(&platform, meta, &[]).await;
    assert_eq!(
        (code, failed.contains("error: meta is not changed: ")),
        (Some(1), true),
        "{failed}"
    );
    assert!(failed.contains("\n  failed  Checking and publishing"), "{failed}");
    let planned = platform.margrave(&["plan"]).await;
    let why = printed(&planned).trim_start_matches("error: ").trim_end().to_owned();
    assert_eq!(planned.status.code(), Some(3), "{planned:?}");
    assert!(!why.is_empty() && failed.contains(&why), "{why} is not in {failed}");

    signal(&platform, "-STOP").await;
    let public = format!("{shop}visibility: public\n");
    let (code, told) = apply(&platform, &public, &["--timeout", "1"]).await;
    signal(&platform, "-CONT").await;
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("it goes on, and `margrave status` tells how far"), "{told}");
    let (code, said) = apply(&platform, &public, &[]).await;
    assert_eq!(code, Some(0), "what goes on is waited for by the next: {said}");

    platform.kill().await;
    let (code, said) = apply(&platform, &shop, &[]).await;
    assert_eq!((code, said.contains("does not answer")), (Some(1), true), "{said}");
}

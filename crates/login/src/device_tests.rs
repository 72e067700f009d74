//! Logging in at a terminal, at a real issuer that does not always do its part.

use std::time::Duration;

use crate::device::{Device, DeviceError, Prompt};
use crate::testing::{CLIENT, CODE, Manner, Said, TestIssuer};

async fn issuer() -> TestIssuer {
    TestIssuer::start(|| 1_800_000_000_000).await
}

async fn device(issuer: &TestIssuer, client: &str) -> Result<Device, DeviceError> {
    Device::new(&issuer.url().parse().unwrap(), client).await
}

async fn begin(issuer: &TestIssuer, client: &str, scope: &str) -> Result<Prompt, DeviceError> {
    Ok(device(issuer, client).await?.begin(scope).await?.0)
}

#[tokio::test]
async fn a_person_is_told_where_to_go_and_what_to_type() {
    let issuer = issuer().await;
    let prompt = begin(&issuer, CLIENT, "openid").await.unwrap();
    let page = format!("{}/activate", issuer.url());
    let url_complete = Some(format!("{page}?user_code={CODE}"));
    let lasts = Duration::from_secs(600);
    assert_eq!(prompt, Prompt { url: page, url_complete, code: CODE.to_owned(), lasts });
}

#[tokio::test]
async fn an_issuer_that_does_not_do_its_part_is_told() {
    for (manner, expected) in [
        (Manner::NoDevice, "names no `device_authorization_endpoint`"),
        (Manner::UnsafePage, "answers with a page that is not safe to open"),
        (Manner::OddCode, "answers with a code that cannot be shown"),
        (Manner::AnotherIssuer, "which is not the one configured"),
        (Manner::Failing, "answers 503 Service Unavailable"),
        (Manner::Redirecting, "answers 302 Found"),
    ] {
        let issuer = issuer().await;
        issuer.behave(manner);
        let error = begin(&issuer, CLIENT, "openid").await.unwrap_err().to_string();
        assert!(error.contains(expected), "{manner:?}: {error}");
    }
    let issuer = issuer().await;
    let refused = |what: &str| DeviceError::Refused(what.to_owned());
    let client = begin(&issuer, "another", "openid").await;
    assert_eq!(client.unwrap_err(), refused("invalid_client"));
    let scope = begin(&issuer, CLIENT, "email").await;
    assert_eq!(scope.unwrap_err(), refused("invalid_scope"));
}

#[tokio::test]
async fn what_the_issuer_answers_to_waiting_decides() {
    for (error, expected) in [
        ("access_denied", DeviceError::Denied),
        ("expired_token", DeviceError::Late),
        ("invalid_client", DeviceError::Refused("invalid_client".to_owned())),
        ("odd\u{1b}[2J", DeviceError::Refused("odd[2J".to_owned())),
    ] {
        let issuer = issuer().await;
        issuer.errors(&["authorization_pending", error]);
        let device = device(&issuer, CLIENT).await.unwrap();
        let (_, pending) = device.begin("openid").await.unwrap();
        assert_eq!(device.wait(pending).await.unwrap_err(), expected);
    }
    let issuer = issuer().await;
    issuer.say(Said::Yes);
    issuer.behave(Manner::NoIdToken);
    let device = device(&issuer, CLIENT).await.unwrap();
    let (_, pending) = device.begin("openid").await.unwrap();
    let error = device.wait(pending).await.unwrap_err().to_string();
    assert!(error.contains("gives no ID token"), "{error}");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_printed_never() {
    let issuer = issuer().await;
    issuer.say(Said::Yes);
    let device = device(&issuer, CLIENT).await.unwrap();
    let (_, pending) = device.begin("openid").await.unwrap();
    let tokens = device.wait(pending).await.unwrap();
    let first = tokens.refresh_token.clone().unwrap();
    assert_eq!(format!("{tokens:?}"), "Tokens([redacted])");
    let second = device.refresh(&first).await.unwrap().refresh_token.unwrap();
    assert_ne!(first, second);
    assert_eq!(device.refresh(&first).await.unwrap_err(), DeviceError::Ended);
    assert!(device.refresh(&second).await.is_ok());
}

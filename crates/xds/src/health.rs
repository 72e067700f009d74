//! `grpc.health.v1.Health`: whether proxies that come here are answered.

use std::time::Duration;

use tonic::Status;
use tonic::server::NamedService;

use crate::beside::Answers;
use crate::service::Ads;

pub(crate) const CHECK: &str = "/grpc.health.v1.Health/Check";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// How often a watched answer is looked at.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Answer {
    #[prost(enumeration = "Condition", tag = "1")]
    status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
enum Condition {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Answer {
    /// Of the server as a whole, which is its discovery service.
    fn of(ads: &Ads, service: &str) -> Self {
        let serving = match service {
            "" | Ads::NAME if *ads.draining().borrow() => Condition::NotServing,
            "" | Ads::NAME if ads.directory().is_ready() => Condition::Serving,
            "" | Ads::NAME => Condition::NotServing,
            _ => Condition::ServiceUnknown,
        };
        Self { status: serving.into() }
    }
}

pub(crate) async fn check(ads: Ads, question: Question, answers: Answers) -> Result<(), Status> {
    let answer = Answer::of(&ads, &question.service);
    if answer.status() == Condition::ServiceUnknown {
        return Err(Status::not_found("no such service is served here"));
    }
    answers.give(&answer).await;
    Ok(())
}

/// Answers whenever the answer is another.
pub(crate) async fn watch(ads: Ads, question: Question, answers: Answers) -> Result<(), Status> {
    let mut drain = ads.draining();
    let mut told = None;
    loop {
        let answer = Answer::of(&ads, &question.service);
        if told.replace(answer) != Some(answer) && !answers.give(&answer).await {
            return Ok(());
        }
        if *drain.borrow_and_update() {
            return Err(crate::stream::draining());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = drain.changed() => {}
            () = answers.gone() => return Ok(()),
        }
    }
}

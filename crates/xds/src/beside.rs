//! What is asked beside discovery, on the same listener: short questions, each on a stream.

use std::time::Duration;

use http::{Request, Response};
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;

use crate::frames::Framed;
use crate::health;
use crate::inbound::Inbound;
use crate::rate::{Meter, Rate};
use crate::service::{Ads, respond};
use crate::status::{self, Scope};

/// A question is short.
const QUESTION_BYTES_MAX: usize = 64 << 10;
/// Questions on one stream.
const QUESTIONS: Rate = Rate { per_second: 5, burst: 20 };

impl Ads {
    /// Answers whatever is not discovery.
    pub(crate) fn beside(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        match request.uri().path() {
            health::CHECK => self.answer(request, health::check),
            health::WATCH => self.answer(request, health::watch),
            status::FETCH | status::STREAM => {
                let scope = Scope::of(&request)?;
                self.answer(request, move |ads, question, answers| {
                    status::tell(ads, scope.clone(), question, answers)
                })
            }
            path => Err(Status::unimplemented(format!("no method {path}"))),
        }
    }

    /// Reads questions, and hands each on with where the answers go.
    pub(crate) fn answer<Q, F>(
        &self,
        request: Request<Body>,
        answer: impl Fn(Ads, Q, Answers) -> F + Send + 'static,
    ) -> Result<Response<Body>, Status>
    where
        Q: Message + Default,
        F: Future<Output = Result<(), Status>> + Send,
    {
        let place = self.place()?;
        let (sender, messages) = mpsc::channel(1);
        let (ads, greeting) = (self.clone(), self.limits().greeting);
        let mut inbound = self.inbound(request, QUESTION_BYTES_MAX);
        tokio::spawn(async move {
            let answers = Answers(sender.clone());
            let mut asked = Meter::new(QUESTIONS, Instant::now());
            let outcome = loop {
                let question = match question::<Q>(&mut inbound, greeting, &answers).await {
                    Ok(Some(question)) if asked.take(Instant::now()) => question,
                    Ok(Some(_)) => break Err(Status::resource_exhausted("too many questions")),
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status),
                };
                if let Err(status) = answer(ads.clone(), question, answers.clone()).await {
                    break Err(status);
                }
            };
            if let Err(status) = outcome {
                // When the client is gone already there is nobody to tell.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(respond(messages, place))
    }
}

/// The next question; none when the client has no more.
async fn question<Q: Message + Default>(
    inbound: &mut Inbound,
    patience: Duration,
    answers: &Answers,
) -> Result<Option<Q>, Status> {
    let question = tokio::select! {
        question = inbound.next() => question?,
        () = answers.gone() => None,
        () = tokio::time::sleep(patience) => {
            return Err(Status::deadline_exceeded("nothing was asked"));
        }
    };
    let decoded = question.map(|word| Q::decode(word.bytes)).transpose();
    decoded.map_err(|error| Status::invalid_argument(format!("not a request: {error}")))
}

/// Where answers go.
#[derive(Clone)]
pub(crate) struct Answers(mpsc::Sender<Result<Framed, Status>>);

impl Answers {
    /// Gives an answer; whether the client is still there.
    pub(crate) async fn give(&self, answer: &impl Message) -> bool {
        self.0.send(Ok(Framed::new(answer, bytes::Bytes::new()))).await.is_ok()
    }

    /// Completes when the client is gone.
    pub(crate) async fn gone(&self) {
        self.0.closed().await;
    }
}

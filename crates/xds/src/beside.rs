//! What is asked beside discovery, on the same listener: short questions, each on a stream.

use http::{Request, Response};
use prost::Message;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;

use crate::frames::{Framed, Inbound};
use crate::health;
use crate::service::{Ads, respond};

/// A question is short.
const QUESTION_BYTES_MAX: usize = 64 << 10;

impl Ads {
    /// Answers whatever is not discovery.
    pub(crate) fn beside(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        match request.uri().path() {
            health::CHECK => self.answer(request, health::check),
            health::WATCH => self.answer(request, health::watch),
            path => Err(Status::unimplemented(format!("no method {path}"))),
        }
    }

    /// Reads one question, and hands it on with where the answers go.
    pub(crate) fn answer<Q, F>(
        &self,
        request: Request<Body>,
        answer: impl FnOnce(Ads, Q, Answers) -> F + Send + 'static,
    ) -> Result<Response<Body>, Status>
    where
        Q: Message + Default,
        F: Future<Output = Result<(), Status>> + Send,
    {
        let place = self.place()?;
        let (sender, messages) = mpsc::channel(1);
        let (ads, greeting) = (self.clone(), self.limits().greeting);
        let mut inbound = Inbound::new(request.into_body(), QUESTION_BYTES_MAX);
        tokio::spawn(async move {
            let question = tokio::time::timeout(greeting, inbound.next()).await;
            let outcome = match question {
                Ok(Ok(question)) => match Q::decode(question.unwrap_or_default()) {
                    Ok(question) => answer(ads, question, Answers(sender.clone())).await,
                    Err(error) => Err(Status::invalid_argument(format!("not a request: {error}"))),
                },
                Ok(Err(status)) => Err(status),
                Err(_) => Err(Status::deadline_exceeded("nothing was asked")),
            };
            if let Err(status) = outcome {
                // When the client is gone already there is nobody to tell.
                let _ = sender.send(Err(status)).await;
            }
        });
        Ok(respond(messages, place))
    }
}

/// Where answers go.
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

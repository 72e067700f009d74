//! gRPC's health protocol, by a client's own structs.

use tonic::{Code, Status, Streaming};
use xds::{Limits, Options};

use crate::client::Proto;
use crate::server::Server;

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

async fn grpc(server: &Server) -> tonic::client::Grpc<tonic::transport::Channel> {
    let channel = tonic::transport::Channel::from_shared(server.address.clone()).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    grpc
}

async fn check(server: &Server, service: &str) -> Result<i32, Status> {
    let path = "/grpc.health.v1.Health/Check".parse().unwrap();
    let question = tonic::Request::new(Question { service: service.to_owned() });
    let codec = Proto::<Question, Answer>::default();
    Ok(grpc(server).await.unary(question, path, codec).await?.into_inner().status)
}

async fn watch(server: &Server, service: &str) -> Streaming<Answer> {
    let path = "/grpc.health.v1.Health/Watch".parse().unwrap();
    let question = tonic::Request::new(Question { service: service.to_owned() });
    let codec = Proto::<Question, Answer>::default();
    grpc(server).await.server_streaming(question, path, codec).await.unwrap().into_inner()
}

async fn next(answers: &mut Streaming<Answer>) -> i32 {
    let answer = tokio::time::timeout(crate::server::PATIENCE, answers.message()).await;
    answer.expect("an answer").unwrap().expect("it goes on").status
}

const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

#[tokio::test]
async fn it_serves_when_whoever_comes_is_answered() {
    let server = Server::closed(Limits::default(), Options::default()).await;
    assert_eq!(check(&server, "").await.unwrap(), NOT_SERVING);
    let mut whole = watch(&server, "").await;
    let mut other = watch(&server, "some.Service").await;
    assert_eq!(next(&mut whole).await, NOT_SERVING);
    assert_eq!(next(&mut other).await, SERVICE_UNKNOWN);
    server.cache.open();
    assert_eq!(next(&mut whole).await, SERVING);
    assert_eq!(check(&server, ADS).await.unwrap(), SERVING);
    let unknown = check(&server, "some.Service").await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn it_does_not_serve_any_more_when_it_goes_away() {
    let mut server = Server::start().await;
    let mut whole = watch(&server, "").await;
    assert_eq!(next(&mut whole).await, SERVING);
    server.stop();
    assert_eq!(next(&mut whole).await, NOT_SERVING);
    assert_eq!(whole.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_question_takes_a_place_like_any_stream() {
    let server = Server::with(Limits { streams: 1, ..Limits::default() }, Options::default()).await;
    let mut first = watch(&server, "").await;
    assert_eq!(next(&mut first).await, SERVING);
    assert_eq!(check(&server, "").await.unwrap_err().code(), Code::Unavailable);
}

//! Why a name is a name of nothing, told beside the answer.

use model::type_urls::{CLUSTER, ENDPOINT, LISTENER, SECRET};
use tonic::Code;

use crate::client::Delta;
use crate::server::{Server, resource};
use crate::state_client::State;
use crate::wire::ResourceError;

fn told(errors: &[ResourceError]) -> Vec<(String, Code, String)> {
    let one = |error: &ResourceError| {
        let name = error.resource_name.as_ref().expect("a name").name.clone();
        let status = error.error_detail.as_ref().expect("a status");
        (name, Code::from(status.code), status.message.clone())
    };
    errors.iter().map(one).collect()
}

#[tokio::test]
async fn a_client_is_told_why_there_is_nothing() {
    let server = Server::start().await;
    server.apply("a", &[resource(ENDPOINT, "a/1", "x"), resource(CLUSTER, "a/1", "x")], &[]);
    let mut client = Delta::connect(&server).await;
    client.ask(ENDPOINT, &["a/1", "no"]).await;
    let mut errors = Vec::new();
    for _ in 0..2 {
        let response = client.next().await;
        client.ack(&response).await;
        errors.extend(told(&response.resource_errors));
    }
    let not_found =
        |name: &str| (name.to_owned(), Code::NotFound, "there is no such resource".to_owned());
    assert_eq!(errors, [not_found("no")]);

    server.cache.excuse("a", "its certificate has ended");
    server.apply("a", &[], &[(ENDPOINT, "a/1"), (CLUSTER, "a/1")]);
    let gone = client.next().await;
    client.ack(&gone).await;
    let excused =
        ("a/1".to_owned(), Code::FailedPrecondition, "its certificate has ended".to_owned());
    assert_eq!(told(&gone.resource_errors), [excused]);

    // Its owner is gone, for good: nobody keeps anything from clients.
    server.cache.pardon("a");
    let mut another = Delta::connect(&server).await;
    another.ask(ENDPOINT, &["a/1"]).await;
    assert_eq!(told(&another.next().await.resource_errors), [not_found("a/1")]);

    // There again, and gone again: now it is simply not there.
    server.apply("a", &[resource(ENDPOINT, "a/1", "y")], &[]);
    let back = client.next().await;
    client.ack(&back).await;
    assert!(back.resource_errors.is_empty());
    server.apply("a", &[], &[(ENDPOINT, "a/1")]);
    assert_eq!(told(&client.next().await.resource_errors), [not_found("a/1")]);
}

#[tokio::test]
async fn secrets_are_for_others() {
    let server = Server::start().await;
    let mut client = Delta::connect(&server).await;
    client.ask(SECRET, &["s"]).await;
    let errors = told(&client.next().await.resource_errors);
    assert_eq!((errors[0].0.as_str(), errors[0].1), ("s", Code::PermissionDenied));
}

#[tokio::test]
async fn so_is_a_client_of_state_of_the_world_where_all_is_told() {
    let server = Server::start().await;
    server.apply("a", &[resource(LISTENER, "here", "x")], &[]);
    let mut client = State::connect(&server).await;
    client.ask(LISTENER, &["here", "no"]).await;
    let response = client.next().await;
    client.ack(&response).await;
    let names: Vec<_> = told(&response.resource_errors).into_iter().map(|it| it.0).collect();
    assert_eq!(names, ["no"]);
    // Of other types it is given something blank, or waits: nothing is an error.
    client.ask(ENDPOINT, &["no"]).await;
    assert!(client.next().await.resource_errors.is_empty());
}

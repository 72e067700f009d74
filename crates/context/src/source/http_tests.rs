//! Servers of every kind, most of them bad.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;

/// What a server does with a connection after it has read a request.
enum Answers {
    /// Says this, and closes.
    Text(String),
    /// Says this, and then nothing more for ever.
    Begins(&'static str),
    /// Says this, then a byte at a time, for ever.
    Drips(&'static str),
    /// Says this, then as much as it can, for ever.
    Floods(&'static str),
}

/// A server that answers every request so; and the requests that it was sent.
async fn server(answers: Answers) -> (Uri, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/a?key=hunter2", listener.local_addr().unwrap()).parse().unwrap();
    let (told, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            let length = client.read(&mut request).await.unwrap_or(0);
            let _ = told.send(String::from_utf8_lossy(&request[..length]).into_owned());
            let _ = answer(client, &answers).await;
        }
    });
    (uri, requests)
}

async fn answer(mut client: TcpStream, answers: &Answers) -> std::io::Result<()> {
    match answers {
        Answers::Text(text) => client.write_all(text.as_bytes()).await,
        Answers::Begins(text) => {
            client.write_all(text.as_bytes()).await?;
            std::future::pending().await
        }
        Answers::Drips(text) => {
            client.write_all(text.as_bytes()).await?;
            loop {
                client.write_all(b" ").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Answers::Floods(text) => {
            client.write_all(text.as_bytes()).await?;
            loop {
                client.write_all(&[b' '; 1024]).await?;
            }
        }
    }
}

fn ok(headers: &str, body: &str) -> Answers {
    let length = body.len();
    Answers::Text(format!("HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{body}"))
}

async fn ask(answers: Answers, known: &Validators) -> Result<Fetched, FetchError> {
    let (uri, _requests) = server(answers).await;
    HttpSource::new(uri, Vec::new()).unwrap().fetch(known, 100).await
}

fn etag(tag: &str) -> Validators {
    Validators { etag: Some(tag.to_owned()), last_modified: None }
}

#[tokio::test]
async fn a_document_comes_with_what_to_ask_with_next_time() {
    let headers = "etag: \"v1\"\r\nlast-modified: Sat, 21 Nov 2026 00:00:00 GMT\r\n";
    let date = Some("Sat, 21 Nov 2026 00:00:00 GMT".to_owned());
    let known = Validators { last_modified: date, ..etag("\"v1\"") };
    let fetched = ask(ok(headers, "{}"), &Validators::default()).await;
    assert_eq!(fetched, Ok(Fetched::New(b"{}".to_vec(), known.clone())));

    let same = Answers::Text("HTTP/1.1 304 Not Modified\r\n\r\n".to_owned());
    let (uri, mut requests) = server(same).await;
    let text = |text: &str| HeaderText::Given(Secret::from(text.to_owned()));
    let headers = vec![(http::header::AUTHORIZATION, text("Bearer hunter2"))];
    let source = HttpSource::new(uri, headers).unwrap();
    assert_eq!(source.fetch(&known, 100).await, Ok(Fetched::Same));
    let request = requests.recv().await.unwrap();
    for line in [
        "GET /a?key=hunter2 HTTP/1.1\r\n",
        "if-none-match: \"v1\"\r\n",
        "if-modified-since: Sat, 21 Nov 2026 00:00:00 GMT\r\n",
        "authorization: Bearer hunter2\r\n",
    ] {
        assert!(request.contains(line), "{line:?} in {request}");
    }
    assert!(!source.place().contains("hunter2"), "{}", source.place());
}

#[tokio::test]
async fn a_header_may_be_in_a_file_and_is_read_each_time() {
    let (uri, mut requests) = server(ok("", "{}")).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let text = HeaderText::File { prefix: "Bearer ".to_owned(), path: path.clone() };
    let source = HttpSource::new(uri, vec![(http::header::AUTHORIZATION, text)]).unwrap();
    let fetch = async || source.fetch(&Validators::default(), 100).await;
    for token in ["one", "two"] {
        std::fs::write(&path, format!("{token}\n")).unwrap();
        fetch().await.unwrap();
        let request = requests.recv().await.unwrap();
        assert!(request.contains(&format!("authorization: Bearer {token}\r\n")), "{request}");
    }
    std::fs::write(&path, "hunt\ner2").unwrap();
    let refused = fetch().await.unwrap_err().0;
    assert!(refused.contains("`authorization` cannot be sent"), "{refused}");
    std::fs::remove_file(&path).unwrap();
    assert!(fetch().await.unwrap_err().0.contains("the file of the header `authorization`"));
    assert!(requests.try_recv().is_err(), "nothing is asked without it");
}

#[tokio::test]
async fn what_is_of_no_use_is_said_so() {
    let text = |text: &str| Answers::Text(text.to_owned());
    let to = |place: &str| {
        text(&format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n"))
    };
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (answers, says) in [
        (
            text("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nhunter2"),
            "answers 503 Service Unavailable",
        ),
        (text("HTTP/1.1 204 No Content\r\n\r\n"), "answers 204"),
        (text("HTTP/1.1 304 Not Modified\r\n\r\n"), "answers 304, although"),
        (
            to("https://elsewhere.example/?key=hunter2"),
            "answers 302 Found to elsewhere.example: no redirect",
        ),
        (to("/a"), "answers 302 Found: no redirect is followed"),
        (ok("", &"x".repeat(101)), "is larger than 100 bytes"),
        (text(&format!("{chunked}fff\r\n{}", "x".repeat(101))), "is larger than 100 bytes"),
        (ok("content-encoding: gzip\r\n", "{}"), "a coding that was not asked for"),
        (text("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhunter2"), "broke off"),
        (text("hunter2 is not HTTP"), "cannot be reached"),
        (text(""), "cannot be reached"),
    ] {
        let why = ask(answers, &Validators::default()).await.unwrap_err().0;
        assert!(why.contains(says), "{why} should say {says}");
        assert!(!why.contains("hunter2"), "{why}");
    }
    let nobody = HttpSource::new("http://127.0.0.1:1/".parse().unwrap(), Vec::new()).unwrap();
    let why = nobody.fetch(&Validators::default(), 100).await.unwrap_err().0;
    assert!(why.contains("cannot be reached: Connection refused"), "{why}");
}

#[tokio::test]
async fn what_never_ends_is_given_up_by_length_or_by_whoever_waits() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n";
    let flood = ask(Answers::Floods(head), &Validators::default()).await;
    assert_eq!(flood.unwrap_err().0, "is larger than 100 bytes");
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n";
    let drip = "HTTP/1.1 200 OK\r\nx-drip: ";
    for answers in [
        Answers::Begins(""),
        Answers::Begins("HTTP/1.1 200"),
        Answers::Begins(length),
        Answers::Drips(drip),
    ] {
        // What a source does not end, its poller does.
        let known = Validators::default();
        let asked = tokio::time::timeout(Duration::from_millis(200), ask(answers, &known));
        assert!(asked.await.is_err(), "it was still waited for");
    }
}

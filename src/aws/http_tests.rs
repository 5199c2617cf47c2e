use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::base::time::SystemClock;

/// A server that reads one request a connection and answers with what `answer` holds; its address, and how many it read.
async fn server(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    crate::base::Tasks::default().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (url, count)
}

fn route(url: &str, not_after: Option<Duration>) -> Route {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Route {
        wire: Wire::new(Arc::clone(&clock), None).unwrap(),
        hosts: Arc::new(Hosts::new([url])),
        clock: AwsClock::new(clock),
        not_after,
    }
}

async fn send(route: &Route, url: &str) -> Result<HttpResponse, HttpError> {
    let mut request = HttpRequest::new(SdkBody::from("Action=X"));
    request.set_uri(url).unwrap();
    request.set_method("POST").unwrap();
    route.send(request).await
}

const LATER: Option<Duration> = Some(Duration::MAX);

#[tokio::test]
async fn an_answer_brings_status_body_and_the_other_clock() {
    for not_after in [None, LATER] {
        let (url, _) =
            server("HTTP/1.1 403 Forbidden\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 2\r\n\r\nno").await;
        let route = route(&url, not_after);
        let answer = send(&route, &url).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().bytes()), (403, Some(&b"no"[..])));
        assert!(route.clock.ahead().unwrap() < 0);
    }
}

#[tokio::test]
async fn a_creating_call_that_is_cut_is_never_sent_again() {
    let (url, count) = server("").await;
    let error = send(&route(&url, LATER), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Sent(_)), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_creating_call_uses_a_connection_of_its_own() {
    let (url, count) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let route = route(&url, LATER);
    for _ in 0..2 {
        send(&route, &url).await.unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_creating_call_that_is_too_late_is_not_sent() {
    let (url, count) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let error = send(&route(&url, Some(Duration::ZERO)), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Unsent(Unsent::TooLate, _)), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let url = "http://127.0.0.1:1/";
    for not_after in [None, LATER] {
        let error = send(&route(url, not_after), url).await.unwrap_err();
        assert!(matches!(error, HttpError::Unsent(Unsent::Connection, _)), "{error}");
    }
}

#[tokio::test]
async fn a_host_nobody_named_is_not_called() {
    let (url, count) = server("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let error = send(&route("http://127.0.0.1:9/", None), &url).await.unwrap_err();
    assert!(matches!(error, HttpError::Unsent(Unsent::Setting, _)), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_bundle_of_certificates_is_read_and_a_bad_one_named() {
    let made = rcgen::generate_simple_self_signed(vec!["aws.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bundle.pem");
    std::fs::write(&file, made.cert.pem()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    assert!(Wire::new(Arc::clone(&clock), file.to_str()).is_ok());
    let error = Wire::new(Arc::clone(&clock), Some("/nowhere/bundle.pem")).unwrap_err();
    assert!(error.starts_with("AWS_CA_BUNDLE: /nowhere/bundle.pem: "), "{error}");
    let unreadable = "-----BEGIN CERTIFICATE-----\nMANhYmM=\n-----END CERTIFICATE-----\n";
    std::fs::write(&file, format!("{}{unreadable}", made.cert.pem())).unwrap();
    assert!(Wire::new(Arc::clone(&clock), file.to_str()).is_ok(), "one that cannot be read does not spoil the others");
    std::fs::write(&file, unreadable).unwrap();
    let error = Wire::new(clock, file.to_str()).unwrap_err();
    assert!(error.ends_with("no certificate in it can be used"), "{error}");
}

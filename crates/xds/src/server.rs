//! Serves the discovery service on a listener, with the settings that long-lived streams need.

use std::future::Future;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::age;
use crate::corked::corked;
use crate::service::Ads;
use crate::tls::{self, Tls};

/// A client that is silent this long is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// It is given up when it does not answer within this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// An ADS client needs one stream. A client of the services of single types needs one for each
/// cluster and each route configuration, and opens further connections beyond this.
const STREAMS_PER_CONNECTION: u32 = 128;
/// What a client may send on a stream that is not read (yet): with thousands of streams that all wait
/// for their turn it adds up. It is what a distant client, 250 ms away, sends at 512 KiB a second.
const STREAM_WINDOW_BYTES: u32 = 128 << 10;
/// Of streams of one connection so many may wait for their turn before they hold up the others: more
/// than there are types of which a client says at length what it has.
const CONNECTION_WINDOW_BYTES: u32 = 16 * STREAM_WINDOW_BYTES;

/// Serves until `shutdown`, then drains: every stream ends with `UNAVAILABLE`, and the future with
/// the last connection. Without TLS nobody is known, and nobody is given a secret.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    ads: Ads,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let draining = ads.clone();
    let shutdown = async move {
        shutdown.await;
        draining.drain();
    };
    let server = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_connection_age(age::of_connections(ads.limits()))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        // Whoever polls speaks it.
        .accept_http1(true);
    match tls {
        Some(tls) => {
            let incoming = ReceiverStream::new(tls::accept(listener, tls, ads.revoked()));
            server.serve_with_incoming_shutdown(ads, incoming, shutdown).await
        }
        None => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            server.serve_with_incoming_shutdown(ads, corked(incoming), shutdown).await
        }
    }
}

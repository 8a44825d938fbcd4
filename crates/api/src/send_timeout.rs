//! A limit on how long a client may take to receive an answer. By then the transaction is long over; what the limit
//! protects is memory.
//!
//! actix has no time limit on writing. So two things together: a client that takes nothing is cut off by the kernel, and
//! one that takes a little now and then is found late when the next piece is due.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::rt::net::TcpStream;
use actix_web::web::Bytes;

/// An answer goes out in pieces of so many bytes: as many as actix keeps before it waits for the client.
const PIECE: usize = 32 * 1024;

/// The connection ends when the client takes nothing for so long. Source: tcp(7), `TCP_USER_TIMEOUT`, which also counts
/// data that cannot be sent because the client's window is closed.
pub(crate) fn limit_connection(stream: &TcpStream, limit: Duration) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limit)) {
        tracing::warn!(%error, "a connection has no time limit on what it sends");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (stream, limit);
}

/// A body whose every chunk is to be taken within the limit.
pub(crate) struct Paced {
    body: BoxBody,
    chunk: Bytes,
    begun: Instant,
    limit: Duration,
}

impl Paced {
    pub(crate) fn new(body: BoxBody, limit: Duration) -> Self {
        Self {
            body,
            chunk: Bytes::new(),
            begun: Instant::now(),
            limit,
        }
    }
}

impl MessageBody for Paced {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.chunk.is_empty() {
            match Pin::new(&mut self.body).poll_next(context) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.chunk = chunk;
                    self.begun = Instant::now();
                }
                other => return other,
            }
        } else if self.begun.elapsed() > self.limit {
            metrics::counter!("plinth_slow_readers_total").increment(1);
            return Poll::Ready(Some(
                Err("the client takes too long to receive the answer".into()),
            ));
        }
        let piece = self.chunk.len().min(PIECE);
        Poll::Ready(Some(Ok(self.chunk.split_to(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_goes_out_in_pieces_and_unchanged() {
        let whole: Bytes = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut paced = Paced::new(BoxBody::new(whole.clone()), Duration::from_secs(60));
        assert_eq!(paced.size(), BodySize::Sized(400_000));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut sent = Vec::new();
        while let Poll::Ready(Some(piece)) = Pin::new(&mut paced).poll_next(&mut context) {
            let piece = piece.unwrap();
            assert!(piece.len() <= PIECE);
            sent.extend_from_slice(&piece);
        }
        assert_eq!(sent, whole);
    }

    #[actix_web::test]
    async fn who_takes_the_next_piece_too_late_gets_none() {
        let limit = Duration::from_millis(20);
        let mut paced = Paced::new(BoxBody::new(vec![0; 3 * PIECE]), limit);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(
            Pin::new(&mut paced).poll_next(&mut context),
            Poll::Ready(Some(Ok(_)))
        ));
        tokio::time::sleep(limit * 2).await;
        assert!(matches!(
            Pin::new(&mut paced).poll_next(&mut context),
            Poll::Ready(Some(Err(_)))
        ));
    }
}

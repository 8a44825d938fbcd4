//! The arrival of a request's body: whether it is still being waited for, and what becomes of one that is given up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::StreamExt as _;

/// How many bodies that were given up are kept on each worker; each holds a few kilobytes.
const GIVEN_UP: usize = 64;

tokio::task_local! {
    static AWAITED: Cell<bool>;
}

thread_local! {
    static KEPT: RefCell<VecDeque<Payload>> = const { RefCell::new(VecDeque::new()) };
}

/// Runs the handling of one request, inside of which [`is_awaited`] counts.
pub fn observe<F: Future>(handling: F) -> impl Future<Output = F::Output> {
    AWAITED.scope(Cell::new(false), handling)
}

/// Whether the body is being waited for just now: then it is the client that takes too long.
pub fn is_awaited() -> bool {
    AWAITED.try_with(Cell::get).unwrap_or_default()
}

fn say(awaited: bool) {
    // Outside of a server, as in a test of one handler, nobody asks.
    let _ = AWAITED.try_with(|said| said.set(awaited));
}

/// A body that is being read.
///
/// One that is given up half-way outlives its request for a little: actix waits for the rest of a chunked body that was
/// dropped, however long the client takes, while it closes the connection of one that is still held.
pub(super) struct Arriving {
    payload: Payload,
    has_ended: bool,
}

impl Arriving {
    pub(super) fn new(payload: Payload) -> Self {
        say(true);
        Self {
            payload,
            has_ended: false,
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Bytes, PayloadError>> {
        let chunk = self.payload.next().await;
        if !matches!(chunk, Some(Ok(_))) {
            self.has_ended = true;
            say(false);
        }
        chunk
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let payload = std::mem::replace(&mut self.payload, Payload::None);
        // Fails only where the thread is about to end.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            kept.truncate(GIVEN_UP - 1);
            kept.push_front(payload);
        });
    }
}

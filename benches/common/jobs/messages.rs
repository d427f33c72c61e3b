//! Futures that are ready, and held up by tokio's budget.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::common::{Job, Measured, Total, drive};

/// So many messages does each future receive.
pub(crate) const MESSAGES: u64 = 4;

/// Receives messages that are all there already, then gives its value.
///
/// Within one poll of its task tokio lets 128 receptions be ready. From then on, a channel that has a message says
/// `Pending`, and wakes immediately: whoever continues to poll its futures then polls them in vain.
pub(crate) struct Messages {
    value: u64,
    left: u64,
    channel: UnboundedReceiver<()>,
}

thread_local! {
    static CHANNELS: RefCell<Vec<UnboundedReceiver<()>>> = const { RefCell::new(Vec::new()) };
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

impl Messages {
    /// Returns how often futures were polled since the last call.
    pub(crate) fn polls() -> u64 {
        POLLS.take()
    }
}

impl From<u64> for Messages {
    fn from(value: u64) -> Self {
        let channel = CHANNELS.with_borrow_mut(Vec::pop).expect("one for each item");
        Self { value, left: MESSAGES, channel }
    }
}

impl Future for Messages {
    type Output = u64;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u64> {
        POLLS.set(POLLS.get() + 1);
        while self.left > 0 {
            ready!(self.channel.poll_recv(cx)).expect("a message");
            self.left -= 1;
        }
        Poll::Ready(self.value)
    }
}

impl Job for Messages {
    /// The channels are this thread's.
    const ANY_THREAD: bool = false;

    fn prepare(items: u64) {
        let channel = || {
            let (sender, receiver) = unbounded_channel();
            for _ in 0..MESSAGES {
                sender.send(()).expect("the receiver is there");
            }
            receiver
        };
        CHANNELS.with_borrow_mut(|channels| channels.extend((0..items).map(|_| channel())));
    }

    fn drive(contestant: impl Future<Output = Total>) -> Measured {
        drive::one_thread(&mut Builder::new_current_thread(), contestant)
    }
}

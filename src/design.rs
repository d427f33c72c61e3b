//! How it works inside: a page to read, with nothing in it to use.
//!
//! # One engine
//!
//! ```text
//!              take, while           keep, at once           hand over, last
//!              there is room
//!  ┌──────────┐         ┌──────────────────┐       ┌────────────────┐       ┌──────────┐
//!  │  source  │ ──────▶ │    active set    │ ────▶ │    finished    │ ────▶ │ consumer │
//!  │          │         │  ┌───┬───┬───┐   │       │                │       │          │
//!  │ a queue; │         │  │ F │ F │   │…  │       │ in order, as   │       │ `next`,  │
//!  │ a stream │         │  └─▲─┴─▲─┴───┘   │       │ they come, by  │       │ `.await`,│
//!  │ + closure│         │    │   │ size    │       │ key; bound on results   │       │ `wait`…  │
//!  └──────────┘         └────┼───┼─────────┘       └────────────────┘       └──────────┘
//!       waiting            wakers: active               finished
//! ```
//!
//! All forms of the pool are this machine with another source on the left, and another way to keep results on the right:
//!
//! | form | source | finished |
//! |---|---|---|
//! | [`pool_map`](crate::IterPoolExt::pool_map) | an iterator or a stream, and a closure | in order, or `unordered` |
//! | [`Pool`](crate::Pool) | a queue | by [`Key`](crate::Key) |
//! | [`scope`](crate::scope()) | a queue, which handles push to | nothing is kept: a [`Task`](crate::Task) has its own result |
//! | [`pool_map_inline`](crate::IterPoolExt::pool_map_inline), [`InlinePool`](crate::InlinePool) | the same, all in place | the same, in place |
//!
//! A call goes round in this machine until there is no reason to:
//!
//! 1. *Poll* what was woken, until one has finished, or 16 were polled. Its result is kept at once, and its slot is free.
//! 2. *Fill*: while fewer than `size` are active and the bound on results is not full, take a future from the source, put it into a
//!    free slot, and poll it there: at most 16 in a turn, too.
//! 3. *Hand over* a result, if one is due. Only now, when no slot stands empty for which there is anything: that is "no less".
//! 4. *Rest*, if none is due and nothing was woken: the task sleeps until a future is. A call that has polled 64 futures
//!    wakes its task instead, so that other tasks have their turn.
//!
//! # The active sets
//!
//! A set stores futures, hands out wakers, and polls what was woken. It is the only part that knows of wakers, and a type
//! parameter, as the hasher of a `HashMap` is: [`PinnedSet`](crate::PinnedSet) is the trait.
//!
//! [`SlotSet`](crate::SlotSet), the default: a slot is a heap block, made when it is first needed and reused from then on,
//! and to it belongs one bit.
//!
//! ```text
//!   slots       0 … 63          64 … 1087          1088 … 2111        …
//!            ┌───────────┐   ┌──────────────┐   ┌──────────────┐
//!   futures  │ F F – F … │   │ F F F – F …  │   │ F F …        │
//!            └─▲─────────┘   └───▲──────────┘   └─▲────────────┘
//!   ready     0 1 0 0 …       0 0 1 0 …  16        1 0 …  16
//!   bits      one word           words              words
//!                │                 │                  │
//!   summary      │                 1                  1   …            one bit for each of 64 blocks
//!                │                 │                  │
//!                └────────▶ the poller ◀──────────────┘    sleeps, or is woken by whoever sets a bit
//! ```
//!
//! - *A waker* sets the bit of its slot, and wakes the task if that sleeps. If the task sleeps, the first waker does not even
//!   set a bit: it leaves the number of its slot with the wake-up.
//! - *The poller* takes a whole word of bits by one swap: so that up to 64 wake-ups cost it one locked operation. Before it
//!   sleeps it says so, and then looks at the bits once more; of a waker that has set a bit and a poller that lies down, at
//!   least one sees the other. (`RUSTFLAGS="--cfg loom" cargo test --release --lib schedules` tries every interleaving.)
//! - *Inside* of a poll, wake-ups on the polling thread go to bits of its own, without any locked operation: a future that
//!   wakes itself, or another one of its pool, costs next to nothing.
//! - *Summaries* lead to the few woken slots among a hundred thousand: 65,536 slots for each.
//!
//! [`UnorderedSet`](crate::UnorderedSet) is a `FuturesUnordered` behind the same trait: one allocation for each future, and a
//! linked list of those that were woken. [`InlineSet`](crate::InlineSet) has up to 32 slots inside the value, and no wakers of
//! its own: every call polls all of them.
//!
//! # The scope
//!
//! A [`scope`](crate::scope()) is the engine with a queue, and a body that is polled beside it. Its handles do not share the
//! engine, which has one owner and no lock: they leave what they spawn in an inbox, and read counters. A lock is held for a
//! few instructions at a time, and never while code of the user's runs.
//!
//! A task that waits for its own scope *lends* its slot: for the engine there is then one slot more, until the task is woken
//! and takes the next one that is free, ahead of all that waits to start. Hence no deadlock at any size.
//!
//! # What follows
//!
//! - No allocation an item by `pool_map` and `Pool`, once they have grown to their size. (A task of a scope takes two.)
//! - A future never moves from its first poll to its end, and needs no box for it.
//! - Waking takes the same steps in a pool of 4 and of 100,000, if not the same time: there the cache is missed. On the heap
//!   sets, a future that was not woken is not polled.
//! - A pool is as `Send` as what it holds, and has no thread, task or timer of its own.
//!
//! The figures, and the command for each, stand in the [README](crate#what-it-costs).

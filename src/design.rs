//! How it works inside: a page to read, with nothing in it to use.
//!
//! # One engine
//!
//! ```text
//!              take, while           keep immediately       hand over, last
//!              there is room
//!  ┌──────────┐         ┌──────────────────┐       ┌────────────────┐       ┌──────────┐
//!  │  source  │ ──────▶ │    active set    │ ────▶ │    finished    │ ────▶ │ consumer │
//!  │          │         │  ┌───┬───┬───┐   │       │                │       │          │
//!  │ a queue; │         │  │ F │ F │   │…  │       │ in order, as   │       │ `next`,  │
//!  │ a stream │         │  └─▲─┴─▲─┴───┘   │       │ they finish,   │       │ `.await`,│
//!  │ + closure│         │    │   │ size    │       │ by key; up to  │       │ `wait`…  │
//!  │          │         │    │   │         │       │ `max_finished` │       │          │
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
//! The machine has two parts:
//!
//! - *The law* (`src/engine/law.rs`) decides. It is a plain value: numbers in, the next step out. It knows the size, how many
//!   futures are active, how many results are due and held, whose turn it is, and what is left of the call's polls; it has no
//!   type parameter, and knows neither futures nor wakers. So it does not depend on the user's types, and "no more, no less" is
//!   proved on one page, where debug builds assert it.
//! - *The driver* (`src/engine/run.rs`) does what the law says: it polls, starts, keeps, and parks, and tells the law what came
//!   of it. It is what is compiled for each pool, once.
//!
//! A call repeats these steps until there is no reason to:
//!
//! 1. *Poll* what was woken, until one has finished, or 16 were polled. Its result is kept immediately, and its slot is free.
//! 2. *Fill*: while fewer than `size` are active and the [bound on results](crate::PoolMap#the-bound-on-results) is not reached,
//!    take a future from the source, put it into a free slot, and poll it there: at most 16 in a turn, too.
//! 3. *Hand over* a result, if one is due. Only now, when no slot is empty for which there is anything: that is "no less".
//! 4. *Poll upstream*, if the source is another pool: it has turns of 16 polls, too. If it has more to do when its turn is over, a
//!    result that is due waits for it, so that the slots upstream are filled as well.
//! 5. *Rest*, if nothing is due and nothing was woken: the task is parked until a future is woken. A call that has polled 64
//!    futures wakes its task instead, so that other tasks have their turn. Then the first turn of the next call is that of the
//!    next party, so that none is starved.
//!
//! # Types without bounds
//!
//! Inside `tokio::spawn`, the compiler forgets how lifetimes are related, and a bound between two parameters of a type may then
//! fail to hold ("implementation of `FnOnce` is not general enough"). So [`PoolMap<M, T>`](crate::PoolMap) has its item type as a
//! parameter, and alongside the machine `M` it holds function pointers to the code that needs the bounds; they are
//! taken where the stream is made, where the types are known to fit. `impl<M, T> Stream for PoolMap<M, T>` asks for
//! nothing, and calls them. The options, views, batches, `driven` and `itermap` are machines in the same type;
//! [`PoolFuture<M, O>`](crate::PoolFuture) does the same for `for_each`, `drive`, `collect` and the like. As a second
//! effect, the driver is in the program once for each chain, however many places poll it.
//!
//! # The active sets
//!
//! A set stores futures, hands out wakers, and polls what was woken. It is the only part that knows of wakers, and is chosen as the
//! hasher of a `HashMap` is, by a type parameter with a default. The parameter is a marker, an [`ActiveSet`](crate::ActiveSet),
//! which does not name the type of the futures: `Pool<F, UnorderedSet>`, `.with_set(UnorderedSet)`. What the engine asks of the set
//! behind a marker is one trait inside the crate.
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
//!                └────────▶ the poller ◀──────────────┘    is parked, or woken by whoever sets a bit
//! ```
//!
//! - *A waker* sets the bit of its slot, and wakes the task if that is parked. If it finds the task parked, it does not even
//!   set a bit: it tells the task the number of its slot by the operation that wakes it. What the wakers see of the task is the
//!   `ParkedTask`; the `Parker` is the poller's side of it.
//! - *The poller* takes a whole word of bits by one swap: so that up to 64 wake-ups cost it one locked operation. It parks, and
//!   then looks at the bits once more; of a waker that sets a bit and a poller that parks, at least one sees the other.
//!   (`RUSTFLAGS="--cfg loom" cargo test --release --lib schedules` tries every interleaving.)
//! - *During a poll*, wake-ups on the polling thread go to `LocalBits`, a second half of each word that only this thread touches,
//!   without any locked operation: a future that wakes itself, or another one of its pool, costs next to nothing. A `PollGuard`
//!   records in a thread-local variable which set is being polled. (Without `std` there are no such variables, and no local
//!   bits.)
//! - *Summaries* lead to the few woken slots among a hundred thousand: 65,536 slots for each.
//!
//! [`UnorderedSet`](crate::UnorderedSet) is a `FuturesUnordered` behind the same trait: one allocation for each future, and a
//! linked list of those that were woken. [`InlineSet`](crate::InlineSet) has up to 32 slots inside the value, and no wakers for
//! them: every call polls all of them.
//!
//! # The scope
//!
//! A [`scope`](crate::scope()) is the engine with a queue, and a body that is polled alongside. Its handles do not share the
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

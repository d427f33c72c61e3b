//! The types compile inside `tokio::spawn` wherever they stand: tables of closures and of uses, every pair of which is a case.
//!
//! To tell whether a coroutine is `Send`, the compiler forgets what it knew of lifetimes; a bound of an impl that relates two
//! parameters of a type may then fail to hold: "implementation of `FnOnce` is not general enough". It depends on the closure, on
//! what is borrowed, and on where the stream stands. So there is a function for each case, thousands of them in a few programs,
//! which the compiler only looks at. An error belongs to the case on whose lines it is.
//!
//! The same cases with `buffered` in the place of `pool_map` are counted and printed, for comparison.

// The scope needs it, and once is enough.
#![cfg(feature = "std")]

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A closure, and the items that it is for. `$` stands for nothing, or for `try_` where results are wanted.
struct Closure {
    name: &'static str,
    items: &'static str,
    code: &'static str,
}

const fn closure(name: &'static str, items: &'static str, code: &'static str) -> Closure {
    Closure { name, items, code }
}

const OWNED: &str = "words.clone().into_iter()";
const BORROWED: &str = "words.iter()";
const OWNED_PAIRS: &str = "words.clone().into_iter().enumerate()";
const PAIRS: &str = "words.iter().enumerate()";

/// The futures of all but the functions alone borrow `name`.
const CLOSURES: [Closure; 17] = [
    closure("owned_in_place", OWNED, "|word| async move { $len(name, &word).await }"),
    closure("owned_async_closure", OWNED, "async |word| $len(name, &word).await"),
    closure("owned_async_move_closure", OWNED, "async move |word| $len(name, &word).await"),
    closure("owned_call", OWNED, "|word| $len_of(name, word)"),
    closure("owned_async_fn", OWNED, "$own"),
    closure("borrowed_in_place", BORROWED, "|word| async move { $len(name, word).await }"),
    closure("borrowed_async_closure", BORROWED, "async |word| $len(name, word).await"),
    closure("borrowed_async_move_closure", BORROWED, "async move |word| $len(name, word).await"),
    closure("borrowed_call", BORROWED, "|word| $len(name, word)"),
    closure("borrowed_async_fn", BORROWED, "$fetch"),
    closure("borrowed_result_in_place", BORROWED, "|word| async move { $fetch(word).await }"),
    closure("borrowed_result_async_closure", BORROWED, "async |word| $fetch(word).await"),
    closure("borrowed_result_call", BORROWED, "|word: &String| $fetch(word)"),
    closure("owned_pairs_in_place", OWNED_PAIRS, "|(i, word)| async move { $len(&name[i..], &word).await }"),
    closure("owned_pairs_async_closure", OWNED_PAIRS, "async |(i, word)| $len(&name[i..], &word).await"),
    closure("pairs_in_place", PAIRS, "|(i, word)| async move { $len(&name[i..], word).await }"),
    closure("pairs_async_closure", PAIRS, "async |(i, word)| $len(&name[i..], word).await"),
];

impl Closure {
    fn plain(&self) -> String {
        self.code.replace('$', "")
    }

    fn fallible(&self) -> String {
        self.code.replace('$', "try_")
    }
}

/// Futures that borrow, each of one item.
const FUTURES: [(&str, &str); 5] = [
    ("borrowed_block", "async move { len(name, &words[0]).await }"),
    ("owned_block", "{ let word = words[0].clone(); async move { len(name, &word).await } }"),
    ("call", "len(name, &words[0])"),
    ("borrowed_result", "fetch(&words[0])"),
    ("callback", "len(name, &words[0]).callback(|len, name| async move { add(len, name).await }, name)"),
];

/// Futures with callbacks, whose contexts are borrowed.
const CALLBACKS: [(&str, &str); 6] = [
    ("in_place", "len(name, &words[0]).callback(|len, name: &String| async move { len + name.len() }, name)"),
    ("async_closure", "len(name, &words[0]).callback(async |len, name: &String| add(len, name).await, name)"),
    ("async_move_closure", "len(name, &words[0]).callback(async move |len, n| len + name.len() + n, 1)"),
    ("async_fn", "len(name, &words[0]).callback(add, name)"),
    ("call", "async move { len(name, &words[0]).await }.callback(|len, name| add(len, name), name)"),
    ("of_borrowed_text", "fetch(&words[0]).callback(|word, _| async move { len(name, word).await }, ())"),
];

/// Uses of a future, which stands for `_F_`. (`join_all` of more than one is in `SCOPE_MANY`.)
const FUTURE_USES: [(&str, &str); 5] = [
    ("awaited", "let _ = _F_.await;"),
    ("in_join", "let _ = tokio::join!(_F_, yield_now());"),
    ("in_join_of_futures", "let _ = futures::join!(_F_, yield_now());"),
    ("in_select", "tokio::select! { _ = _F_ => {} () = pending() => {} }"),
    ("in_join_all", "let _ = join_all([_F_]).await;"),
];

/// Uses of a stream, which stands for `_S_`, alongside those of the future that collects it.
const STREAM_USES: [(&str, &str); 12] = [
    ("next", "let mut s = pin!(_S_); while let Some(x) = s.next().await { yield_now().await; drop(x); }"),
    ("next_in_select", "let mut s = pin!(_S_); tokio::select! { _ = s.next() => {} () = pending() => {} }"),
    ("next_in_join", "let mut s = pin!(_S_); let _ = tokio::join!(s.next(), yield_now());"),
    ("filter", "let _: Vec<_> = _S_.filter(|_| async { true }).collect().await;"),
    ("filter_map", "let _: Vec<_> = _S_.filter_map(|x| async move { Some(x) }).collect().await;"),
    ("chunks", "let _: Vec<_> = _S_.chunks(2).collect().await;"),
    ("zip", "let _: Vec<_> = _S_.zip(stream::iter(0..)).collect().await;"),
    ("peekable", "let mut s = pin!(_S_.peekable()); let _ = s.as_mut().peek().await; let _ = s.next().await;"),
    ("take_while", "let _: Vec<_> = _S_.take_while(|_| async { true }).collect().await;"),
    ("count_in_join", "let _ = tokio::join!(_S_.count(), yield_now());"),
    ("filter_in_join_all", "let _ = join_all([_S_.filter(|_| async { true }).count()]).await;"),
    ("buffered", "let _: Vec<_> = _S_.map(|x| async move { x }).buffered(2).collect().await;"),
];

/// What comes after `pool_map`, and what `futures` has for both behind `map`.
struct Chain {
    name: &'static str,
    option: &'static str,
    twin: &'static str,
}

const fn chain(name: &'static str, option: &'static str, twin: &'static str) -> Chain {
    Chain { name, option, twin }
}

const CHAINS: [Chain; 6] = [
    chain("ordered", "", "_S_.buffered(4)"),
    chain("unordered", ".unordered()", "_S_.buffer_unordered(4)"),
    chain("indexed", ".indexed()", "_S_.buffered(4).enumerate()"),
    chain("batches", ".batches(yield_when::all_completed)", "_S_.buffered(4).ready_chunks(8)"),
    chain("fail_fast", ".fail_fast()", "_S_.buffered(4)"),
    chain("catch_unwind", ".catch_unwind()", "AssertUnwindSafe(_S_.buffered(4)).catch_unwind()"),
];

impl Chain {
    fn closure(&self, closure: &Closure) -> String {
        if self.name == "fail_fast" { closure.fallible() } else { closure.plain() }
    }

    fn is_awaited(&self) -> bool {
        self.name != "batches"
    }

    fn stream(&self, source: &str, closure: &Closure) -> String {
        format!("{source}.pool_map(4, {}){}", self.closure(closure), self.option)
    }

    fn twin(&self, closure: &Closure) -> String {
        self.twin.replace("_S_", &format!("stream::iter({}).map({})", closure.items, self.closure(closure)))
    }
}

/// A member that is used as a future: what comes before, and the future.
struct Member {
    name: &'static str,
    before: &'static str,
    future: &'static str,
}

const fn member(name: &'static str, before: &'static str, future: &'static str) -> Member {
    Member { name, before, future }
}

/// Consumers and stages of the pool's own: what comes before, and the future.
const CONSUMERS: [Member; 15] = [
    member("for_each", "", "_S_.for_each(|x| async move { drop(x) })"),
    member("for_each_async_closure", "", "_S_.for_each(async |x| drop((x, name)))"),
    member("consume_fold", "", "_S_.consume(|items| items.fold(0, |n, _| async move { n + name.len() }))"),
    member(
        "consume_async_closure",
        "",
        "_S_.consume(async |mut items| while let Some(x) = items.next().await { yield_now().await; drop(x); })",
    ),
    member("consume_then", "", "_S_.consume(|items| items.then(|x| async move { drop((x, name)) }).count())"),
    member("consume_chunks", "", "_S_.consume(|items| items.chunks(2).for_each(|x| async move { drop(x) }))"),
    member("consume_stage", "", "_S_.consume(|items| items.pool_map(2, |x| async move { (x, name) }).count())"),
    member("drive", "let mut s = _S_;", "s.drive(len(name, name))"),
    member("drive_pinned", "let mut s = pin!(_S_);", "s.drive(len(name, name))"),
    member("driven", "", "_S_.filter(|_| async { true }).driven().count()"),
    member("driven_for_each", "", "_S_.map(|x| x).driven().for_each(|x| async move { drop(x) })"),
    member(
        "driven_stage",
        "",
        "IntoFuture::into_future(_S_.map(|x| x).driven().pool_map(2, |x| async move { (x, name) }))",
    ),
    member("stage", "", "IntoFuture::into_future(_S_.pool_map(2, |x| async move { (x, name) }))"),
    member("stage_async_closure", "", "_S_.pool_map(2, async |x| (x, name)).unordered().count()"),
    member(
        "stages",
        "",
        "_S_.pool_map(2, |x| ready(x)).unordered().pool_map(3, |x| async move { drop(x) }).for_each(ready)",
    ),
];

/// The members of `Pool` that take items `_I_` and a closure `_C_`: what comes before, and the future.
const POOL_MEMBERS: [Member; 12] = [
    member("next", "let _ = pool.map_n(_I_, _C_);", "pool.next()"),
    member("wait", "let key = pool.map_n(_I_, _C_).next().unwrap();", "pool.wait(key)"),
    member("join", "let _ = pool.map_n(_I_, _C_);", "pool.join()"),
    member("collect", "let _ = pool.map_n(_I_, _C_);", "pool.by_ref().collect::<Vec<_>>()"),
    member("drive", "let _ = pool.map_n(_I_, _C_);", "pool.drive(len(name, name))"),
    member(
        "consume",
        "let _ = pool.map_n(_I_, _C_);",
        "pool.consume(|items| items.fold(0, |n, _| async move { n + name.len() }))",
    ),
    member("itermap_consume", "", "pool.itermap(_I_, _C_).consume(|items| items.for_each(|x| async move { drop(x) }))"),
    member("for_each", "let _ = pool.map_n(_I_, _C_);", "pool.for_each(|x| async move { drop(x) })"),
    member(
        "stage",
        "let _ = pool.map_n(_I_, _C_);",
        "IntoFuture::into_future(pool.pool_map(2, |(_, x)| async move { (x, name) }))",
    ),
    member("map_all", "", "pool.map_all(_I_, _C_)"),
    member("itermap_keyed", "", "pool.itermap(_I_, _C_).keyed().collect::<Vec<_>>()"),
    member("itermap_batches", "", "pool.itermap(_I_, _C_).batches(yield_when::all_completed).collect::<Vec<_>>()"),
];

/// `try_for_each`, on streams of results.
const TRY_CONSUMERS: [Member; 3] = [
    member("try_for_each", "", "_S_.try_for_each(|x| async move { drop((x, name)); Ok(()) })"),
    member("try_for_each_async_closure", "", "_S_.try_for_each(async |x| { drop((x, name)); Ok(()) })"),
    member("consume_try_for_each", "", "_S_.consume(|s| s.try_for_each(|x| async move { drop((x, name)); Ok(()) }))"),
];

/// Those that take a future `_F_`.
const POOL_FUTURES: [Member; 3] = [
    member("exec", "", "pool.exec(_F_)"),
    member("spawn", "", "pool.spawn(_F_)"),
    member("wait", "let key = pool.spawn_n(_F_);", "pool.wait(key)"),
];

/// The members of a scope that take items and a closure.
const SCOPE_MEMBERS: [Member; 5] = [
    member("map", "", "pool.map(_I_, _C_)"),
    member("idle", "let _ = pool.map_n(_I_, _C_);", "pool.idle()"),
    member("lend", "let tasks = pool.map_n(_I_, _C_);", "pool.lend(join_all(tasks))"),
    member("join", "let _ = pool.map_n(_I_, _C_);", "pool.join()"),
    member("itermap_batches", "", "pool.itermap(_I_, _C_).batches(yield_when::first_error).collect::<Vec<_>>()"),
];

/// Those that take a future. (`task` is the handle.)
const SCOPE_FUTURES: [Member; 4] = [
    member("lend", "", "pool.lend(_F_)"),
    member("exec", "", "pool.exec(_F_)"),
    member("spawn", "", "pool.spawn(_F_)"),
    member("task", "", "pool.spawn_n(_F_)"),
];

/// Futures of results that borrow.
const TRY_FUTURES: [(&str, &str); 4] = [
    ("borrowed_block", "async move { try_len(name, &words[0]).await }"),
    ("owned_block", "{ let word = words[0].clone(); async move { try_len(name, &word).await } }"),
    ("call", "try_len(name, &words[0])"),
    ("borrowed_result", "try_fetch(&words[0])"),
];

/// The members of a `try_scope` that take items and a closure.
const TRY_SCOPE_MEMBERS: [Member; 3] = [
    member("map", "", "pool.map(_I_, _C_)"),
    member("join", "let _ = pool.map_n(_I_, _C_);", "pool.join()"),
    member("itermap", "", "pool.itermap(_I_, _C_).collect::<Vec<_>>()"),
];

/// Those that take a future.
const TRY_SCOPE_FUTURES: [Member; 4] = [
    member("exec", "", "pool.exec(_F_)"),
    member("spawn", "", "pool.spawn(_F_)"),
    member("spawn_any", "", "pool.spawn_any(_F_)"),
    member("task", "", "pool.spawn_n(_F_)"),
];

/// The futures of a shared scope, whose tasks borrow nothing.
const SHARED_FUTURES: [Member; 5] = [
    member("driver", "let (pool, driver) = shared(2); pool.spawn_n(own(name.clone()));", "driver"),
    member("exec", "let (pool, _driver) = shared(2);", "pool.exec(own(name.clone()))"),
    member("tied", "let (pool, _driver) = shared(2);", "pool.spawn_n(own(name.clone())).cancel_on_drop()"),
    member("lend", "let (pool, _driver) = shared(2);", "pool.lend(own(name.clone()))"),
    member("map", "let (pool, _driver) = shared(2);", "pool.map(words.clone(), own)"),
];

/// Uses of a scope's members by the dozen, in closures of others.
const SCOPE_MANY: [(&str, &str); 8] = [
    ("exec_in_join_all", "join_all(words.iter().map(|word| pool.exec(len(name, word)))).await;"),
    ("exec_block_in_join_all", "join_all(words.iter().map(|w| pool.exec(async move { len(name, w).await }))).await;"),
    ("spawn_in_join_all", "join_all(words.iter().map(|word| pool.spawn(fetch(word)))).await;"),
    ("tasks_in_join_all", "join_all(pool.map_n(words, fetch)).await;"),
    (
        "maps_in_join_all",
        "join_all((0..2).map(|_| pool.map(words.iter(), |w| async move { len(name, w).await }))).await;",
    ),
    (
        "exec_in_filter",
        "let _: Vec<_> = stream::iter(words).filter(|w| pool.exec(len(name, w)).map(|r| r.is_ok())).collect().await;",
    ),
    (
        "exec_block_in_filter",
        "let sent = |w| { let pool = &pool; async move { pool.exec(async move { len(name, w).await }).await.is_ok() } }; \
         let _: Vec<_> = stream::iter(words).filter(|w| sent(*w)).collect().await;",
    ),
    ("exec_in_pool_map", "let _ = words.iter().pool_map(2, |w| pool.exec(async move { len(name, w).await })).await;"),
];

/// How a scope's body may be written.
const BODIES: [&str; 2] = ["async |pool| { _B_ }", "|pool| async move { _B_ }"];

/// The members of a pinned `InlinePool` that has one future.
const INLINE_MEMBERS: [Member; 6] = [
    member("next", "", "pool.next()"),
    member("collect", "", "pool.as_mut().collect::<Vec<_>>()"),
    member("filter", "", "pool.as_mut().filter(|_| async { true }).collect::<Vec<_>>()"),
    member("drive", "", "pool.drive(len(name, name))"),
    member("driven_for_each", "", "pool.as_mut().driven().for_each(|x| async move { drop(x) })"),
    member("consume", "", "pool.as_mut().consume(|items| items.fold(0, |n, _| async move { n + name.len() }))"),
];

/// The statements of a case, and what it is called.
struct Case {
    name: String,
    body: String,
}

impl Case {
    /// Whether types of `futures` alone are to blame, which the compiler refuses whatever the stream is, a boxed one included.
    /// Where results are borrowed, these are `Collect<St, C>` and `Filter<St, _, F>` if something else than our
    /// `driven` holds them, and a `Buffered` of `Map<St, F>`: they have bounds on `C` or `F` and `St::Item`.
    fn is_hopeless(&self) -> bool {
        let is_borrowed = ["borrowed_async_fn", "borrowed_result"].iter().any(|name| self.name.contains(name));
        let is_held =
            ["_in_join", "_in_join_of_futures", "_in_join_all"].iter().any(|usage| self.name.ends_with(usage));
        let has_bound = [".collect::<Vec<_>>()", ".filter("].iter().any(|call| self.body.contains(call));
        let has_bound = has_bound && !self.body.contains(".driven()");
        is_borrowed && (is_held && has_bound || self.name.ends_with("_buffered"))
    }
}

fn case(name: String, body: String) -> Case {
    Case { name, body }
}

/// Puts what is meant in the place of `_F_`, `_S_` and the like.
fn fill(template: &str, meant: &[(&str, &str)]) -> String {
    meant.iter().fold(template.to_owned(), |text, (letter, meant)| text.replace(letter, meant))
}

/// All uses of a future that may need something before it.
fn uses_of_future(name: &str, before: &str, future: &str) -> Vec<Case> {
    let uses = FUTURE_USES.iter();
    uses.map(|(usage, body)| case(format!("{name}_{usage}"), format!("{before} {}", fill(body, &[("_F_", future)]))))
        .collect()
}

/// All uses of a stream.
fn uses_of_stream(name: &str, stream: &str) -> Vec<Case> {
    let mut cases = uses_of_future(&format!("{name}_collect"), "", &format!("{stream}.collect::<Vec<_>>()"));
    cases.extend(STREAM_USES.map(|(usage, body)| case(format!("{name}_{usage}"), fill(body, &[("_S_", stream)]))));
    cases
}

/// All uses of the futures of all these members.
fn uses_of_members(name: &str, setup: &str, members: &[Member], meant: &[(&str, &str)]) -> Vec<Case> {
    let uses = members.iter().flat_map(|Member { name: member, before, future }| {
        uses_of_future(&format!("{name}_{member}"), &format!("{setup} {}", fill(before, meant)), &fill(future, meant))
    });
    uses.collect()
}

/// `pool_map` over iterators or streams (`source` makes them of the items), with every closure, followed by an option.
fn chains(source: &str, chain: &Chain) -> Vec<Case> {
    let mut cases = Vec::new();
    for closure in &CLOSURES {
        let name = format!("{}_{}", closure.name, chain.name);
        let stream = chain.stream(&fill(source, &[("_I_", closure.items)]), closure);
        cases.extend(uses_of_stream(&name, &stream));
        if chain.is_awaited() {
            cases.push(case(format!("{name}_awaited"), format!("let _ = {stream}.await;")));
            cases.push(case(
                format!("{name}_whole_in_join"),
                format!("let _ = tokio::join!(IntoFuture::into_future({stream}), yield_now());"),
            ));
            cases.push(case(
                format!("{name}_whole_in_many"),
                format!("let _ = join_all([{stream}.into_future()]).await;"),
            ));
        }
    }
    cases
}

/// The same with what `futures` has.
fn twins(chain: &Chain) -> Vec<Case> {
    let uses = CLOSURES
        .iter()
        .flat_map(|closure| uses_of_stream(&format!("{}_{}", closure.name, chain.name), &chain.twin(closure)));
    uses.collect()
}

/// Those of the cases that are such uses.
fn only(uses: &[&str], cases: Vec<Case>) -> impl Iterator<Item = Case> {
    cases.into_iter().filter(|case| uses.iter().any(|usage| case.name.ends_with(usage)))
}

/// The options of admission, with every closure; and numbers.
fn admission(source: &str) -> Vec<Case> {
    const KEYED: Chain = chain("keyed", ".weighted(|_| 1).per_key(1, |_| 0)", "");
    let mut cases = chains(source, &KEYED);
    for Closure { name, items, .. } in &CLOSURES {
        let source = fill(source, &[("_I_", items)]);
        let stream = format!("{source}.pool_map_slot(4, |slot, x| async move {{ yield_now().await; drop(x); slot }})");
        cases.extend(uses_of_stream(&format!("{name}_slot"), &stream));
    }
    cases
}

/// The consumers and stages of our own, behind every closure and option.
fn consumers() -> Vec<Case> {
    let mut cases = Vec::new();
    for closure in &CLOSURES {
        for chain in &CHAINS {
            let (name, stream) = (format!("{}_{}", closure.name, chain.name), chain.stream(closure.items, closure));
            cases.extend(only(&["_in_join"], uses_of_members(&name, "", &CONSUMERS, &[("_S_", &stream)])));
            if chain.name == "fail_fast" {
                let uses = uses_of_members(&name, "", &TRY_CONSUMERS, &[("_S_", &stream)]);
                cases.extend(only(&["_in_join", "_in_select"], uses));
            }
        }
    }
    cases
}

/// The keyed pool.
fn pools() -> Vec<Case> {
    let mut cases = Vec::new();
    let setup = "let mut pool = Pool::new(2);";
    for closure @ Closure { name, items, .. } in &CLOSURES {
        let meant = [("_I_", *items), ("_C_", &closure.plain())];
        cases.extend(only(&["_in_join", "_in_select"], uses_of_members(name, setup, &POOL_MEMBERS, &meant)));
        let itermap = uses_of_stream(&format!("{name}_itermap"), &fill("pool.itermap(_I_, _C_)", &meant));
        cases.extend(itermap.into_iter().map(|Case { name, body }| case(name, format!("{setup} {body}"))));
    }
    for (name, future) in FUTURES {
        cases.extend(uses_of_members(name, setup, &POOL_FUTURES, &[("_F_", future)]));
        let other = "let mut pool = Pool::with_set(2, UnorderedSet);";
        let uses = uses_of_members(&format!("{name}_other_set"), other, &POOL_FUTURES, &[("_F_", future)]);
        cases.extend(only(&["_in_join"], uses));
    }
    cases
}

/// The scope's members inside of its body, and the scope itself.
fn scopes() -> Vec<Case> {
    let mut inside = Vec::new();
    for closure @ Closure { name, items, .. } in &CLOSURES {
        let meant = [("_I_", *items), ("_C_", &closure.plain())];
        inside.extend(uses_of_members(name, "", &SCOPE_MEMBERS, &meant));
        inside.extend(uses_of_stream(&format!("{name}_itermap"), &fill("pool.itermap(_I_, _C_)", &meant)));
    }
    for (name, future) in FUTURES {
        inside.extend(uses_of_members(name, "", &SCOPE_FUTURES, &[("_F_", future)]));
    }
    inside.extend(SCOPE_MANY.map(|(name, body)| case(name.to_owned(), body.to_owned())));

    let mut cases = Vec::new();
    let [async_body, block_body] = BODIES;
    for Case { name, body } in &inside {
        let scope = |style| format!("scope(2, {}).await;", fill(style, &[("_B_", body)]));
        cases.push(case(format!("async_body_{name}"), scope(async_body)));
        if name.ends_with("_in_join") || name.starts_with("exec_") {
            cases.push(case(format!("block_body_{name}"), scope(block_body)));
        }
    }
    for (name, future) in FUTURES {
        let inside = format!("pool.exec({future}).await");
        let scope = |style| format!("scope(2, {})", fill(style, &[("_B_", &inside)]));
        cases.extend(uses_of_future(&format!("async_body_{name}_scope"), "", &scope(async_body)));
        cases.extend(uses_of_future(&format!("block_body_{name}_scope"), "", &scope(block_body)));
    }
    cases
}

/// The members of a `try_scope` inside of its body, that scope itself, and a shared one.
fn try_scopes() -> Vec<Case> {
    let mut inside = Vec::new();
    for closure @ Closure { name, items, .. } in &CLOSURES {
        let meant = [("_I_", *items), ("_C_", &closure.fallible())];
        inside.extend(uses_of_members(name, "", &TRY_SCOPE_MEMBERS, &meant));
    }
    for (name, future) in TRY_FUTURES {
        inside.extend(uses_of_members(name, "", &TRY_SCOPE_FUTURES, &[("_F_", future)]));
    }
    let mut cases = Vec::new();
    for Case { name, body } in &inside {
        let scope = |style| fill(style, &[("_B_", body)]);
        let async_body = scope("let _ = try_scope(2, async |pool| { _B_ Ok::<_, Empty>(()) }).await;");
        cases.push(case(format!("async_body_{name}"), async_body));
        if name.ends_with("_in_join") || name.ends_with("_awaited") {
            let block_body = scope("let _ = try_scope(2, |pool| async move { _B_ Ok::<_, Empty>(()) }).await;");
            cases.push(case(format!("block_body_{name}"), block_body));
        }
    }
    for (name, future) in TRY_FUTURES {
        let scope = format!("try_scope(2, async |pool| Ok::<_, Empty>(pool.exec({future}).await.is_ok()))");
        cases.extend(uses_of_future(&format!("{name}_scope"), "", &scope));
    }
    cases.extend(uses_of_members("shared", "", &SHARED_FUTURES, &[]));
    cases
}

/// The pools inside the value.
fn inline_pools() -> Vec<Case> {
    let mut cases = Vec::new();
    for closure @ Closure { name, items, .. } in &CLOSURES {
        let stream = format!("{items}.pool_map_inline(Slots::<4>, {})", closure.plain());
        cases.extend(uses_of_stream(name, &stream));
        // It is not `Unpin`.
        let consumers = CONSUMERS.into_iter().filter(|member| member.name != "drive");
        let uses = uses_of_members(name, "", &consumers.collect::<Vec<_>>(), &[("_S_", &stream)]);
        cases.extend(only(&["_in_join"], uses));
    }
    for (name, future) in FUTURES {
        let setup = "let mut pool = pin!(InlinePool::<_, 2, 3>::new()); let key = pool.as_mut().try_spawn(_F_).ok();";
        cases.extend(uses_of_members(name, &fill(setup, &[("_F_", future)]), &INLINE_MEMBERS, &[]));
    }
    cases
}

/// Callbacks by themselves, in a pool, in a scope, and in a chain.
fn callbacks() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, future) in CALLBACKS {
        cases.extend(uses_of_future(name, "", future));
        cases.extend(uses_of_members(name, "let mut pool = Pool::new(2);", &POOL_FUTURES, &[("_F_", future)]));
        let task = format!("scope(2, async |pool| pool.exec({future}).await)");
        cases.extend(uses_of_future(&format!("{name}_in_scope"), "", &task));
        let closure = future.replace("words[0]", "word").replacen("&word", "word", 1);
        cases.extend(uses_of_stream(
            &format!("{name}_in_chain"),
            &format!("words.iter().pool_map(4, |word| {closure})"),
        ));
    }
    cases
}

/// All uses of a stream whose type tells nothing.
fn boxed() -> Vec<Case> {
    uses_of_stream("borrowed_result", "stream::iter(words).boxed()")
}

/// What has to be refused, between what has not.
fn with_a_bad_one() -> Vec<Case> {
    let bodies = [
        ("good", "words.iter().pool_map(4, fetch).await;"),
        (BAD, "let rc = std::rc::Rc::new(1); yield_now().await; drop(rc);"),
        ("good_too", "words.iter().pool_map(4, async |word| fetch(word).await).await;"),
    ];
    bodies.map(|(name, body)| case(name.to_owned(), body.to_owned())).into()
}

const BAD: &str = "with_an_rc";

/// A program with a function for each case.
struct Program {
    name: String,
    cases: Vec<Case>,
    /// How many cases there were at first.
    count: usize,
    /// The cases that the compiler has refused, and why.
    refused: Vec<(String, String)>,
    /// Whether it has changed since the compiler has looked at it.
    is_new: bool,
}

impl Program {
    fn new(name: impl Into<String>, cases: Vec<Case>) -> Self {
        let names: HashSet<_> = cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), cases.len(), "two cases of the same name");
        Self { name: name.into(), count: cases.len(), cases, refused: Vec::new(), is_new: true }
    }

    /// The case that has this line of the program.
    fn case_at(&self, line: usize) -> Option<usize> {
        let index = line.checked_sub(HEADER.lines().count() + 1)? / LINES;
        (index < self.cases.len()).then_some(index)
    }

    fn write(&mut self, package: &Path) {
        let mut text = HEADER.replace("TEXTS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/types/texts.rs"));
        for Case { name, body } in &self.cases {
            assert!(!body.contains('\n'));
            let lines = [
                "tokio::spawn(async {",
                "let (words, name) = texts();",
                "let (words, name) = (&words, &name);",
                body,
                "});",
            ];
            writeln!(text, "fn {name}() {{\n{}\n}}", lines.join("\n")).unwrap();
        }
        fs::write(self.path(package), text).unwrap();
        self.is_new = false;
    }

    fn path(&self, package: &Path) -> PathBuf {
        package.join(format!("{}.rs", self.name))
    }
}

/// What every program begins with. The path is filled in.
const HEADER: &str = r#"#![allow(unused)]
use futures::{FutureExt, StreamExt, TryStreamExt, future::join_all, stream};
use futures_pool::{InlinePool, Pool, UnorderedSet, inline::Slots, prelude::*, scope, shared, try_scope, yield_when};
use std::{future::{IntoFuture, pending, ready}, panic::AssertUnwindSafe, pin::pin};
use tokio::task::yield_now;
#[path = "TEXTS"]
mod texts;
use texts::*;
fn main() {}
"#;

/// How many lines a case has.
const LINES: usize = 7;

/// Writes a package that has all programs.
fn prepare(package: &Path, programs: &[Program]) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut manifest = format!(
        "[package]\nname = \"types\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n\
         futures-pool = {{ path = '{}' }}\nfutures = \"0.3\"\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt\", \"sync\", \"time\"] }}\n",
        library.display()
    );
    for program in programs {
        writeln!(manifest, "[[bin]]\nname = '{}'\npath = '{}.rs'", program.name, program.name).unwrap();
    }
    fs::create_dir_all(package).unwrap();
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // What is downloaded already is what this says.
    fs::copy(library.join("Cargo.lock"), package.join("Cargo.lock")).unwrap();
}

/// Has the compiler look at all programs; returns its errors, each with the name of the program.
fn check(package: &Path) -> Vec<(String, Value)> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--keep-going", "--bins", "--message-format", "json"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        .env("CARGO_INCREMENTAL", "0")
        // Those of sanitizers and the like are not for the macros of dependencies.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let errors = messages.filter(|message| message["message"]["level"] == "error");
    let errors: Vec<_> =
        errors.map(|error| (error["target"]["name"].as_str().unwrap().to_owned(), error["message"].clone())).collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    errors
}

/// The line of the program that a span is on, which may be where a macro is called.
fn line_in(program: &str, span: &Value) -> Option<usize> {
    let mut span = span;
    while !span.is_null() {
        if span["file_name"].as_str()?.ends_with(program) {
            return usize::try_from(span["line_start"].as_u64()?).ok();
        }
        span = &span["expansion"]["span"];
    }
    None
}

/// Takes out the cases that the compiler refuses, again and again, since some errors hide others.
fn take_out_what_is_refused(package: &Path, programs: &mut [Program]) {
    loop {
        for program in programs.iter_mut().filter(|program| program.is_new) {
            program.write(package);
        }
        for (name, error) in check(package) {
            let rendered = error["rendered"].as_str().unwrap_or_default();
            let Some(program) = programs.iter_mut().find(|program| program.name == name) else { panic!("{rendered}") };
            let spans = error["spans"].as_array().unwrap();
            if spans.is_empty() {
                continue; // "aborting due to"
            }
            let primary = spans.iter().filter(|span| span["is_primary"] == true);
            let lines = primary.filter_map(|span| line_in(&format!("{name}.rs"), span));
            let cases: Vec<_> = lines.filter_map(|line| program.case_at(line)).collect();
            assert!(!cases.is_empty(), "not in a case: {rendered}");
            for index in cases {
                let refused = program.cases[index].name.clone();
                if program.refused.iter().all(|(name, _)| *name != refused) {
                    program.refused.push((refused, error["message"].as_str().unwrap().to_owned()));
                }
                program.is_new = true;
            }
        }
        if programs.iter().all(|program| !program.is_new) {
            return;
        }
        for Program { cases, refused, .. } in programs.iter_mut() {
            cases.retain(|case| refused.iter().all(|(name, _)| *name != case.name));
        }
    }
}

/// All tables of ours, by the names of their programs.
fn tables() -> Vec<(String, Vec<Case>)> {
    let mut tables = vec![
        ("consumers".to_owned(), consumers()),
        ("pools".to_owned(), pools()),
        ("scopes".to_owned(), scopes()),
        ("try_scopes".to_owned(), try_scopes()),
        ("inline_pools".to_owned(), inline_pools()),
        ("callbacks".to_owned(), callbacks()),
        ("admission_over_iterators".to_owned(), admission("_I_")),
        ("admission_over_streams".to_owned(), admission("stream::iter(_I_)")),
    ];
    for chain in &CHAINS {
        tables.push((format!("{}_over_iterators", chain.name), chains("_I_", chain)));
        tables.push((format!("{}_over_streams", chain.name), chains("stream::iter(_I_)", chain)));
    }
    tables
}

#[test]
fn everything_compiles_inside_a_spawned_task() {
    let mut tables = tables();
    let ours_count = tables.len();
    tables.extend(CHAINS.iter().map(|chain| (format!("twin_{}", chain.name), twins(chain))));
    tables.push(("boxed".to_owned(), boxed()));
    let mut hopeless = Vec::new();
    let mut programs = Vec::new();
    for (name, cases) in tables {
        let (others, cases) = cases.into_iter().partition::<Vec<_>, _>(Case::is_hopeless);
        programs.push(Program::new(&name, cases));
        if !name.starts_with("twin") {
            hopeless.extend(others.into_iter().map(|other| case(format!("{name}_{}", other.name), other.body)));
        }
    }
    programs.extend([Program::new("hopeless", hopeless), Program::new("bad", with_a_bad_one())]);

    let (ours, others) = programs.split_at(ours_count);
    let [twins @ .., boxed, hopeless, _] = others else { unreachable!() };
    let count = |programs: &[Program]| programs.iter().map(|program| program.count).sum::<usize>();
    // Of what a table no longer has, the compiler would say nothing.
    assert_eq!((count(ours), count(twins), boxed.count, hopeless.count), (9697, 1614, 12, 439));

    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("types");
    prepare(&package, &programs);
    take_out_what_is_refused(&package, &mut programs);

    let (ours, others) = programs.split_at(ours_count);
    let [twins @ .., boxed, hopeless, bad] = others else { unreachable!() };
    let refused = |programs: &[Program]| programs.iter().map(|program| program.refused.len()).sum::<usize>();
    let compiler = Command::new(env!("CARGO")).arg("--version").output().unwrap().stdout;
    println!(
        "{}: pool_map: {} of {}, buffered: {} of {}, on whatever stream: {} of {}",
        String::from_utf8_lossy(&compiler).trim(),
        count(ours) - refused(ours),
        count(ours),
        count(twins) - refused(twins),
        count(twins),
        hopeless.count - hopeless.refused.len(),
        hopeless.count,
    );

    let mut faults = String::new();
    for Program { name, refused, .. } in ours {
        for (case, error) in refused {
            write!(faults, "\n{name}: {case}: {}", error.lines().next().unwrap_or_default()).unwrap();
        }
    }
    assert!(faults.is_empty(), "{} cases are refused:{faults}", refused(ours));
    assert_eq!(bad.refused.iter().map(|(case, _)| case.as_str()).collect::<Vec<_>>(), [BAD]);
    // Nothing is called hopeless that a boxed stream can do.
    let of_boxed = hopeless.refused.iter().filter(|(case, _)| case.starts_with("boxed_")).count();
    assert!(boxed.refused.is_empty() && (of_boxed == 5 || hopeless.refused.is_empty()), "{:?}", boxed.refused);
}

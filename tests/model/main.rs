//! The law as a property: random programs of push, finish, wake, cancel, resize, pause, poll and drop, compared after every
//! step with the naive model in `reference.rs`.
//!
//! On every form: the chain with its options, views and `for_each`, on every active set and in place; two stages; the keyed
//! pools; the scope. Futures are woken from anywhere: from outside, from inside of polls and destructors, on another thread,
//! and when the pool has long gone. `fuzz/` runs the same programs, made from bytes.

#![allow(unreachable_pub)]

mod bench;
mod chain;
#[path = "../common/mod.rs"]
mod common;
mod in_place;
mod keyed;
mod program;
mod reference;
mod scope;
mod stages;
mod world;

use proptest::prelude::*;

use chain::{Kind, Opt, Set, Source, View};
use program::{Form, Op, Pick, Program, run};
use world::{Plan, Then};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn keyed_pool_on_slot_set(program in program::slot_pools()) {
        run(program);
    }

    #[test]
    fn keyed_pool_on_unordered_set(program in program::unordered_pools()) {
        run(program);
    }

    #[test]
    fn keyed_pool_in_place(program in program::pools_in_place()) {
        run(program);
    }

    #[test]
    fn chain_of_any_kind(program in program::chains()) {
        run(program);
    }

    #[test]
    fn two_stages(program in program::two_stages()) {
        run(program);
    }

    // Without the standard library the panic of a task passes through the scope.
    #[cfg(feature = "std")]
    #[test]
    fn any_scope(program in program::scopes()) {
        run(program);
    }
}

// What the property has found, as small as it made it.

#[test]
fn a_map_from_outside_ends_with_the_scope_though_room_was_offered_to_another() {
    let [wait, finish] = [Then::Wait, Then::Finish].map(Plan::new);
    let ops = vec![Op::MapAll(finish, 3, 1), Op::CompleteMany(1), Op::MapAll(wait, 0, 1), Op::Push(wait)];
    run(Program { form: Form::Scope, size: 1, max_finished: None, ops, finish: true });
}

#[test]
fn nothing_is_polled_after_the_error_while_no_result_is_taken() {
    let [wait, finish] = [Then::Wait, Then::Finish].map(Plan::new);
    let fail = Plan { yields: 1, ..Plan::new(Then::Fail) };
    let woken = Plan { yields: 1, ..wait };
    for set in [Set::Slot, Set::Unordered] {
        let kind = Kind { ordered: false, source: Source::Stream, set, option: Opt::FailFast, view: View::Flat };
        let ops =
            vec![Op::Push(finish), Op::SetSize(60), Op::Poll(1), Op::Push(fail), Op::Push(woken), Op::Progress(1)];
        run(Program { form: Form::Chain(kind), size: 1, max_finished: None, ops, finish: false });
    }
}

#[test]
fn the_batch_of_an_itermap_that_was_dropped_counts_against_the_max_finished() {
    let [wait, finish] = [Then::Wait, Then::Finish].map(Plan::new);
    for form in [Form::SlotPool, Form::UnorderedPool] {
        let ops = vec![
            Op::Push(finish),
            Op::SetMaxFinished(3),
            Op::PushMany(wait, 2),
            Op::Poll(1),
            Op::IterMap(wait, 4, program::Mode::Batches, 5),
            Op::Progress(1),
        ];
        run(Program { form, size: 1, max_finished: None, ops, finish: false });
    }
}

#[test]
fn an_upstream_stage_makes_progress_when_the_downstream_one_has_something_to_hand_over() {
    let [wait, finish] = [Then::Wait, Then::Finish].map(Plan::new);
    let busy = Plan { yields: 255, ..wait };
    let ops = vec![
        Op::PushMany(wait, 2),
        Op::CompleteMany(2),
        Op::PushMany(finish, 2),
        Op::Complete(Pick(0), Then::Finish),
        Op::PushMany(wait, 4),
        Op::PushMany(busy, 63),
        Op::Poll(2),
    ];
    let kind = stages::Kind { ordered: false, next_ordered: true, driven: false, next_size: 3 };
    run(Program { form: Form::Stages(kind), size: 63, max_finished: None, ops, finish: true });
}

/// Enough futures for many words of ready bits.
fn many() -> impl Strategy<Value = Vec<Op>> {
    let wait = Plan::new(Then::Wait);
    let woken = prop_oneof![
        any::<u16>().prop_map(|job| Op::Complete(Pick(job.into()), Then::Finish)),
        any::<u16>().prop_map(|job| Op::Wake(Pick(job.into()), false)),
        (1..3usize).prop_map(Op::Poll),
    ];
    (4200..6000usize, proptest::collection::vec(woken, 40..80)).prop_map(move |(count, mut ops)| {
        let filled = count.div_ceil(reference::POLLS) + 1;
        ops.splice(0..0, [Op::PushMany(wait, count), Op::Poll(filled)]);
        ops
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn thousands_at_once(ops in many(), ordered: bool, slots: bool) {
        let set = if slots { Set::Slot } else { Set::Unordered };
        let kind = Kind { ordered, source: Source::Stream, set, option: Opt::Plain, view: View::Flat };
        for form in [Form::Chain(kind), Form::SlotPool] {
            run(Program { form, size: usize::MAX, max_finished: None, ops: ops.clone(), finish: false });
        }
    }
}

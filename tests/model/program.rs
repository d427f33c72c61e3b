//! Random programs: a form of the pool, and what is done to it.

use proptest::prelude::*;

use crate::chain::{self, Kind, Opt, Set, Source, View};
use crate::keyed;
use crate::scope;
use crate::stages;
use crate::world::{Plan, Then};

/// One of so many as there are when it comes to that.
#[derive(Clone, Copy, Debug)]
pub struct Pick(pub usize);

impl Pick {
    pub fn index(self, len: usize) -> usize {
        self.0 % len
    }
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<u16>().prop_map(|number| Pick(number.into()))
}

/// What is done to a pool between two checks. Each form ignores what it has not.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Push(Plan),
    PushMany(Plan, usize),
    TrySpawn(Plan),
    /// Lets a job end when it is polled next.
    Complete(Pick, Then),
    CompleteMany(usize),
    /// The flag: on another thread.
    Wake(Pick, bool),
    WakeLate(Pick, bool),
    Cancel(Pick),
    CancelAll,
    CancelWaiting,
    Take(Pick),
    SetSize(usize),
    SetMaxFinished(usize),
    Pause,
    Resume,
    Poll(usize),
    Progress(usize),
    /// `drive`, with a future that does not end, polled once and dropped.
    Drive,
    /// Async methods, polled at most so often and dropped; between two polls the oldest active job is completed.
    Join(usize),
    Idle(usize),
    Wait(Pick, usize),
    Spawn(Plan, usize),
    Exec(Plan, usize),
    MapAll(Plan, usize, usize),
    IterMap(Plan, usize, Mode, usize),
    /// A task that first awaits another.
    Follow(Plan, Pick),
    /// Polls an async method that was begun earlier, and continues it later.
    Resumed(Pick),
    /// Drops one.
    Abandon(Pick),
    /// Drops the handle of a task.
    Detach(Pick),
    /// The source's closure or iterator panics at this item.
    Broken,
    /// The source wakes its task so often instead of giving an item.
    SourceSleeps(usize),
    /// The timer of the batches fires.
    Fire,
    /// The consumer has done its work.
    Release,
    Close,
}

/// In which form `itermap` gives its results.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    Flat,
    Keyed,
    Batches,
}

#[derive(Clone, Copy, Debug)]
pub enum Form {
    Chain(Kind),
    SlotPool,
    UnorderedPool,
    PoolInPlace,
    Stages(stages::Kind),
    Scope,
}

/// A pool, and what is done to it.
#[derive(Clone, Debug)]
pub struct Program {
    pub form: Form,
    pub size: usize,
    pub max_finished: Option<usize>,
    pub ops: Vec<Op>,
    /// Whether everything is brought to its end, and not just dropped.
    pub finish: bool,
}

pub fn run(program: Program) {
    let Program { form, size, max_finished, ops, finish } = program;
    match form {
        Form::Chain(kind) => chain::run(kind, size, max_finished, ops, finish),
        Form::SlotPool => keyed::run_slots(size, ops, finish),
        Form::UnorderedPool => keyed::run_unordered(size, ops, finish),
        Form::PoolInPlace => crate::in_place::run(size, max_finished, ops, finish),
        Form::Stages(kind) => stages::run(kind, size, max_finished, ops, finish),
        Form::Scope => scope::run(size, ops, finish),
    }
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let then =
        prop_oneof![12 => Just(Then::Wait), 6 => Just(Then::Finish), 1 => Just(Then::Fail), 1 => Just(Then::Panic)];
    let yields = prop_oneof![4 => Just(0), 1 => 0..4u8, 1 => Just(u8::MAX)];
    let sibling = || proptest::option::weighted(0.2, 0..4u8);
    (yields, sibling(), sibling(), proptest::bool::weighted(0.1), then)
        .prop_map(|(yields, nudges, farewell, abroad, then)| Plan { yields, nudges, farewell, abroad, then })
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..6usize, 2 => 60..70usize, 2 => 1..=200usize, 1 => Just(usize::MAX)]
}

fn max_finished() -> impl Strategy<Value = usize> {
    prop_oneof![0..4usize, 0..100usize, Just(usize::MAX)]
}

/// What every form has.
fn usual() -> impl Strategy<Value = Op> {
    let end = prop_oneof![12 => Just(Then::Finish), 1 => Just(Then::Fail), 2 => Just(Then::Panic)];
    prop_oneof![
        8 => plan().prop_map(Op::Push),
        3 => (plan(), 1..150usize).prop_map(|(plan, count)| Op::PushMany(plan, count)),
        8 => (pick(), end).prop_map(|(job, then)| Op::Complete(job, then)),
        3 => (1..150usize).prop_map(Op::CompleteMany),
        3 => (pick(), proptest::bool::weighted(0.2)).prop_map(|(job, abroad)| Op::Wake(job, abroad)),
        1 => (pick(), proptest::bool::weighted(0.2)).prop_map(|(job, abroad)| Op::WakeLate(job, abroad)),
        1 => size().prop_map(Op::SetSize),
        16 => (1..8usize).prop_map(Op::Poll),
    ]
}

/// What the forms have whose futures come from a source.
fn of_sources() -> impl Strategy<Value = Op> {
    prop_oneof![
        30 => usual(),
        2 => (1..4usize).prop_map(Op::Progress),
        1 => Just(Op::Drive),
        1 => Just(Op::Broken),
        1 => (1..4usize).prop_map(Op::SourceSleeps),
        1 => Just(Op::Fire),
        3 => Just(Op::Release),
        1 => Just(Op::Close),
    ]
}

/// What the forms have whose futures are pushed.
fn of_pools() -> impl Strategy<Value = Op> {
    let polls = || 1..5usize;
    let mode = prop_oneof![Just(Mode::Flat), Just(Mode::Keyed), Just(Mode::Batches)];
    prop_oneof![
        40 => usual(),
        1 => plan().prop_map(Op::TrySpawn),
        2 => pick().prop_map(Op::Cancel),
        1 => Just(Op::CancelAll),
        2 => pick().prop_map(Op::Take),
        1 => max_finished().prop_map(Op::SetMaxFinished),
        1 => Just(Op::Pause),
        2 => Just(Op::Resume),
        2 => (1..4usize).prop_map(Op::Progress),
        1 => Just(Op::Drive),
        1 => polls().prop_map(Op::Join),
        1 => (pick(), polls()).prop_map(|(job, polls)| Op::Wait(job, polls)),
        1 => (plan(), polls()).prop_map(|(plan, polls)| Op::Spawn(plan, polls)),
        1 => (plan(), polls()).prop_map(|(plan, polls)| Op::Exec(plan, polls)),
        1 => (plan(), 0..10usize, polls()).prop_map(|(plan, count, polls)| Op::MapAll(plan, count, polls)),
        1 => (plan(), 0..10usize, mode, 1..9usize)
            .prop_map(|(plan, count, mode, polls)| Op::IterMap(plan, count, mode, polls)),
    ]
}

/// What a scope has.
#[cfg(feature = "std")]
fn of_scopes() -> impl Strategy<Value = Op> {
    prop_oneof![
        40 => of_pools(),
        3 => (plan(), pick()).prop_map(|(plan, task)| Op::Follow(plan, task)),
        3 => pick().prop_map(Op::Resumed),
        1 => pick().prop_map(Op::Abandon),
        1 => pick().prop_map(Op::Detach),
        1 => Just(Op::CancelWaiting),
        1 => (1..5usize).prop_map(Op::Idle),
        1 => Just(Op::Close),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    let set =
        prop_oneof![2 => Just(Set::Slot), 2 => Just(Set::Unordered), 1 => Just(Set::Inline), 1 => Just(Set::AllInline)];
    let option = prop_oneof![2 => Just(Opt::Plain), 1 => Just(Opt::Catch), 1 => Just(Opt::FailFast)];
    let view = prop_oneof![
        3 => Just(View::Flat),
        1 => Just(View::Indexed),
        1 => Just(View::Batches),
        1 => Just(View::Timed),
        1 => Just(View::ForEach),
    ];
    let source = prop_oneof![9 => Just(Source::Stream), 1 => Just(Source::Iter)];
    (any::<bool>(), source, set, option, view)
        .prop_map(|(ordered, source, set, option, view)| Kind { ordered, source, set, option, view }.that_exists())
}

pub fn chains() -> impl Strategy<Value = Program> {
    let ops = proptest::collection::vec(of_sources(), 0..80);
    (kind(), size(), proptest::option::of(max_finished()), ops, any::<bool>()).prop_map(
        |(kind, size, max_finished, ops, finish)| Program { form: Form::Chain(kind), size, max_finished, ops, finish },
    )
}

fn pools_of(form: Form) -> impl Strategy<Value = Program> {
    let ops = proptest::collection::vec(of_pools(), 0..80);
    (size(), proptest::option::of(max_finished()), ops, any::<bool>())
        .prop_map(move |(size, max_finished, ops, finish)| Program { form, size, max_finished, ops, finish })
}

pub fn slot_pools() -> impl Strategy<Value = Program> {
    pools_of(Form::SlotPool)
}

pub fn unordered_pools() -> impl Strategy<Value = Program> {
    pools_of(Form::UnorderedPool)
}

pub fn pools_in_place() -> impl Strategy<Value = Program> {
    pools_of(Form::PoolInPlace)
}

pub fn two_stages() -> impl Strategy<Value = Program> {
    let ops = proptest::collection::vec(of_sources(), 0..80);
    let kind = (any::<bool>(), any::<bool>(), any::<bool>(), 1..6usize);
    (kind, size(), proptest::option::of(max_finished()), ops, any::<bool>()).prop_map(
        |(kind, size, max_finished, ops, finish)| {
            let (ordered, next_ordered, driven, next_size) = kind;
            let kind = stages::Kind { ordered, next_ordered, driven, next_size };
            Program { form: Form::Stages(kind), size, max_finished, ops, finish }
        },
    )
}

#[cfg(feature = "std")]
pub fn scopes() -> impl Strategy<Value = Program> {
    let ops = proptest::collection::vec(of_scopes(), 0..80);
    (size(), ops, any::<bool>()).prop_map(|(size, ops, finish)| Program {
        form: Form::Scope,
        size,
        max_finished: None,
        ops,
        finish,
    })
}

//! The programs of `tests/model/`, made from the fuzzer's bytes instead of random numbers, and so guided by what of the
//! library they reach.

#![no_main]
#![allow(dead_code, unreachable_pub)]

#[path = "../../tests/model/bench.rs"]
mod bench;
#[path = "../../tests/model/chain.rs"]
mod chain;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/model/in_place.rs"]
mod in_place;
#[path = "../../tests/model/keyed.rs"]
mod keyed;
#[path = "../../tests/model/program.rs"]
mod program;
#[path = "../../tests/model/reference.rs"]
mod reference;
#[path = "../../tests/model/scope.rs"]
mod scope;
#[path = "../../tests/model/stages.rs"]
mod stages;
#[path = "../../tests/model/world.rs"]
mod world;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;

use chain::{Opt, Set, Source, View};
use program::{Form, Mode, Op, Pick, Program};
use world::{Plan, Then};

/// The most operations of a program.
const OPS: usize = 100;

fuzz_target!(|bytes: &[u8]| {
    // Once the bytes are at their end, every choice is the first.
    let program = program(&mut Unstructured::new(bytes)).expect("made of any bytes");
    if std::env::var_os("PRINT_PROGRAM").is_some() {
        eprintln!("{program:#?}");
    }
    program::run(program);
});

fn program(bytes: &mut Unstructured<'_>) -> Result<Program> {
    let form = form(bytes)?;
    let size = size(bytes)?;
    let max_finished = if bytes.arbitrary()? { Some(max_finished(bytes)?) } else { None };
    let finish = bytes.arbitrary()?;
    let mut ops = Vec::new();
    while !bytes.is_empty() && ops.len() < OPS {
        ops.push(op(bytes)?);
    }
    Ok(Program { form, size, max_finished, ops, finish })
}

fn form(bytes: &mut Unstructured<'_>) -> Result<Form> {
    Ok(match bytes.int_in_range(0..=7)? {
        0..=2 => {
            let kind = chain::Kind {
                ordered: bytes.arbitrary()?,
                source: if bytes.ratio(1, 8)? { Source::Iter } else { Source::Stream },
                set: *bytes.choose(&[Set::Slot, Set::Unordered, Set::Inline, Set::AllInline])?,
                option: *bytes.choose(&[Opt::Plain, Opt::Catch, Opt::FailFast])?,
                view: *bytes.choose(&[View::Flat, View::Indexed, View::Batches, View::Timed, View::ForEach])?,
            };
            Form::Chain(kind.that_exists())
        }
        3 => Form::SlotPool,
        4 => Form::UnorderedPool,
        5 => Form::PoolInPlace,
        6 => Form::Stages(stages::Kind {
            ordered: bytes.arbitrary()?,
            next_ordered: bytes.arbitrary()?,
            driven: bytes.arbitrary()?,
            next_size: bytes.int_in_range(1..=5)?,
        }),
        _ => Form::Scope,
    })
}

fn size(bytes: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match bytes.arbitrary::<u8>()? {
        u8::MAX => usize::MAX,
        size @ 200.. => 60 + usize::from(size % 10),
        size => usize::from(size % 8),
    })
}

fn max_finished(bytes: &mut Unstructured<'_>) -> Result<usize> {
    Ok(match bytes.arbitrary::<u8>()? {
        u8::MAX => usize::MAX,
        results @ 200.. => usize::from(results),
        results => usize::from(results % 4),
    })
}

fn plan(bytes: &mut Unstructured<'_>) -> Result<Plan> {
    let mut sibling = || Ok(if bytes.ratio(1, 4)? { Some(bytes.int_in_range(0..=3)?) } else { None });
    let (nudges, farewell) = (sibling()?, sibling()?);
    Ok(Plan {
        yields: *bytes.choose(&[0, 0, 0, 1, 2, 3, 100, u8::MAX])?,
        nudges,
        farewell,
        abroad: bytes.ratio(1, 32)?,
        then: then(bytes)?,
    })
}

fn then(bytes: &mut Unstructured<'_>) -> Result<Then> {
    bytes.choose(&[Then::Wait, Then::Wait, Then::Finish, Then::Finish, Then::Fail, Then::Panic]).copied()
}

fn pick(bytes: &mut Unstructured<'_>) -> Result<Pick> {
    Ok(Pick(bytes.arbitrary::<u8>()?.into()))
}

fn mode(bytes: &mut Unstructured<'_>) -> Result<Mode> {
    bytes.choose(&[Mode::Flat, Mode::Keyed, Mode::Batches]).copied()
}

fn op(bytes: &mut Unstructured<'_>) -> Result<Op> {
    let end = [Then::Finish, Then::Finish, Then::Fail, Then::Panic];
    Ok(match bytes.int_in_range(0..=39)? {
        0..=5 => Op::Poll(bytes.int_in_range(1..=7)?),
        6..=8 => Op::Push(plan(bytes)?),
        9 | 10 => Op::PushMany(plan(bytes)?, bytes.int_in_range(1..=150)?),
        11..=13 => Op::Complete(pick(bytes)?, *bytes.choose(&end)?),
        14 => Op::CompleteMany(bytes.int_in_range(1..=150)?),
        15 | 16 => Op::Wake(pick(bytes)?, bytes.ratio(1, 16)?),
        17 => Op::WakeLate(pick(bytes)?, bytes.ratio(1, 16)?),
        18 => Op::SetSize(size(bytes)?),
        19 => Op::SetMaxFinished(max_finished(bytes)?),
        20 => Op::Pause,
        21 => Op::Resume,
        22 | 23 => Op::Progress(bytes.int_in_range(1..=3)?),
        24 => Op::Drive,
        25 => Op::Cancel(pick(bytes)?),
        26 => Op::CancelAll,
        27 => Op::Take(pick(bytes)?),
        28 => Op::TrySpawn(plan(bytes)?),
        29 => Op::Spawn(plan(bytes)?, bytes.int_in_range(1..=4)?),
        30 => Op::Exec(plan(bytes)?, bytes.int_in_range(1..=4)?),
        31 => Op::MapAll(plan(bytes)?, bytes.int_in_range(0..=9)?, bytes.int_in_range(1..=4)?),
        32 => Op::IterMap(plan(bytes)?, bytes.int_in_range(0..=9)?, mode(bytes)?, bytes.int_in_range(1..=8)?),
        33 => bytes.choose(&[Op::Broken, Op::Fire, Op::Release, Op::Close]).copied()?,
        34 => Op::SourceSleeps(bytes.int_in_range(1..=3)?),
        35 => Op::Follow(plan(bytes)?, pick(bytes)?),
        36 => Op::Resumed(pick(bytes)?),
        37 => Op::Abandon(pick(bytes)?),
        38 => Op::Detach(pick(bytes)?),
        _ => match bytes.arbitrary()? {
            true => Op::Join(bytes.int_in_range(1..=4)?),
            false => Op::Wait(pick(bytes)?, bytes.int_in_range(1..=4)?),
        },
    })
}

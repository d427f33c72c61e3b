//! How often each contestant allocates for an item.

use crate::common::{Contestant, Form, WORKLOADS, Workload, names};
use crate::heap;

const SIZE: usize = 64;
const ITEMS: u32 = 8192;

/// What must allocate nothing.
const OURS: [&str; 3] = [names::POOL_MAP, names::POOL_MAP_ORDERED, names::POOL];

/// Prints the tables, and returns what was aimed at and whether it was met.
pub(crate) fn print() -> Vec<(String, bool)> {
    let mut most = 0.0;
    for form in [Form::Unordered, Form::Consumed, Form::Tasks] {
        // The channel to the other thread allocates now and then.
        let workloads = WORKLOADS.iter().filter(|workload| workload.name != "thread");
        let columns: Vec<_> = workloads
            .map(|workload| (workload, (workload.contestants)()))
            .filter(|(_, contestants)| contestants[0].form == form)
            .collect();
        let heads: Vec<_> = columns.iter().map(|(workload, _)| workload.name).collect();
        println!("Allocations an item, size {SIZE}: {}.\n\n| contestant | {} |", about(form), heads.join(" | "));
        println!("|:---|{}", "---:|".repeat(heads.len()));
        for Contestant { name, .. } in all(&columns) {
            print!("| {name} |");
            for (workload, contestants) in &columns {
                match contestants.iter().find(|contestant| contestant.name == name) {
                    Some(contestant) => {
                        let allocations = per_item(workload, contestant);
                        most = if OURS.contains(&name) { f64::max(most, allocations) } else { most };
                        print!(" {allocations:.2} |");
                    }
                    None => print!(" |"),
                }
            }
            println!();
        }
        println!();
    }
    vec![(format!("No allocation an item by {}", OURS.join(", ")), most < 0.005)]
}

fn about(form: Form) -> &'static str {
    match form {
        Form::Unordered | Form::Ordered => "streams",
        Form::Consumed => "consumers of a stream",
        Form::Tasks => "tasks with handles",
    }
}

/// Those of the workload that has most.
fn all(columns: &[(&Workload, Vec<Contestant>)]) -> Vec<Contestant> {
    columns.iter().map(|(_, contestants)| contestants.clone()).max_by_key(Vec::len).unwrap_or_default()
}

fn per_item(workload: &Workload, contestant: &Contestant) -> f64 {
    let [more, few] = [2 * ITEMS, ITEMS].map(|items| {
        (workload.prepare)(items.into());
        let (_, change) = heap::change(|| (contestant.run)(SIZE, items.into()));
        f64::from(change.allocations)
    });
    (more - few) / f64::from(ITEMS)
}

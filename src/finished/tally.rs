//! [`Tally`]: no results at all, for the scope, whose tasks deliver their outputs to handles.

use core::hash::BuildHasherDefault;

use hashbrown::HashMap;

use super::Finished;
use super::keyed::NumberHasher;

/// Keeps nothing of what has finished; knows in which slot each future is, from when somebody first asks for one.
#[derive(Default)]
pub(crate) struct Tally {
    slots: Option<HashMap<u64, usize, BuildHasherDefault<NumberHasher>>>,
}

impl Tally {
    /// Returns the slot of an active future. `for_each_active` is called the first time.
    pub(crate) fn slot(
        &mut self,
        number: u64,
        for_each_active: impl FnOnce(&mut dyn FnMut(usize, u64)),
    ) -> Option<usize> {
        let slots = self.slots.get_or_insert_with(|| {
            let mut slots = HashMap::default();
            for_each_active(&mut |slot, number| {
                slots.insert(number, slot);
            });
            slots
        });
        slots.get(&number).copied()
    }

    /// All futures were dropped.
    pub(crate) fn forget_all(&mut self) {
        if let Some(slots) = &mut self.slots {
            *slots = HashMap::default();
        }
    }
}

impl Finished for Tally {
    type Output = ();

    fn started(&mut self, number: u64, slot: usize) {
        if let Some(slots) = &mut self.slots {
            slots.insert(number, slot);
        }
    }

    fn push(&mut self, number: u64, (): ()) -> bool {
        self.skip(number);
        false
    }

    fn skip(&mut self, number: u64) {
        if let Some(slots) = &mut self.slots {
            slots.remove(&number);
        }
    }

    fn len(&self) -> usize {
        0
    }

    fn due(&self) -> usize {
        0
    }
}

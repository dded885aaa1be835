//! Finding room for objects, and objects that are there.

use super::layout::{self, BLOCKS, CLASSES, Described, Place, SLAB, View};
use super::share::{Share, with_claims};
use super::tenure::{Making, Refused};
use crate::error::{Corrupt, Error};
use crate::options::Settings;
use crate::primitives::{Primitive, Site, leave_of, sweep_of};
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering, mutated};
use std::sync::Arc;

/// An attached arena.
#[derive(Debug)]
pub(super) struct Heap {
    segment: Arc<Segment>,
    /// For each class, where the last object was made: the next one is looked for from there on.
    last: [AtomicU64; CLASSES],
}

impl Heap {
    pub(super) fn new(segment: Arc<Segment>) -> Self {
        Heap { segment, last: [const { AtomicU64::new(0) }; CLASSES] }
    }

    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }

    pub(super) fn view(&self) -> View<'_> {
        View::new(&self.segment)
    }

    /// Makes an object.
    pub(super) fn make<E: Primitive>(&self, settings: &Settings) -> Result<E, Error> {
        let needs = E::needs(settings)?;
        let described = Described::new(E::KIND, &needs);
        let division = self.view().division();
        let (Some(class), Some(words)) = (division.class_for(&needs), described.pack()) else {
            let asked = needs.body_len.saturating_add(needs.table_len);
            return Err(Error::BadOption {
                option: "the size of an arena's object",
                asked,
                max: division.most(),
            });
        };
        let member = self.segment.member()?;
        let (number, place, making) = self.take(class, member.index())?;
        let block = place.lay_out(&described, words);
        if let Err(error) = E::initialise(block, settings) {
            place.tenure().give_up(making);
            return Err(error);
        }
        let announced = with_claims(&self.segment, |claims, me| {
            place.tenure().announce(making, me);
            claims.insert(number, making.id);
        });
        if let Err(error) = announced {
            place.tenure().give_up(making);
            return Err(error);
        }
        let share = Share::counted(Arc::clone(&self.segment), number, making.id, member);
        E::attach(Site::shared(Arc::clone(&self.segment), block, share), settings)
    }

    /// Attaches to the object `id` in the block `number`.
    pub(super) fn attach<E: Primitive>(&self, number: u32, id: u64, settings: &Settings) -> Result<E, Error> {
        let place = self.view().numbered(number).ok_or(Error::Gone)?;
        let member = self.segment.member()?;
        let entered = with_claims(&self.segment, |claims, me| match claims.get_mut(number) {
            Some(claim) if claim.id == id => {
                claim.shares += 1;
                Ok(())
            }
            // We refer to another object in it.
            Some(_) => Err(Refused::Gone),
            None => place.tenure().enter(id, me).map(|()| claims.insert(number, id)),
        })?;
        match entered {
            Ok(()) => {}
            Err(Refused::Corrupt(found)) => {
                let field = "the state of an arena's block";
                return Err(Corrupt { field, found, limit: 0, place: Some(number.into()) }.into());
            }
            Err(Refused::Gone) => return Err(Error::Gone),
        }
        let share = Share::counted(Arc::clone(&self.segment), number, id, member);
        let described = place.describe().map_err(|corrupt| corrupt.at(number))?;
        check::<E>(&described, settings)?;
        E::attach(Site::shared(Arc::clone(&self.segment), place.block(&described), share), settings)
    }

    /// Takes a free block of `class`.
    fn take(&self, class: usize, me: u16) -> Result<(u32, Place<'_>, Making), Error> {
        if let Some(found) = self.find(class, me) {
            return Ok(found);
        }
        // Before the arena grows: what the dead have left.
        if self.segment.sweep_for_the_dead() > 0
            && let Some(found) = self.find(class, me)
        {
            return Ok(found);
        }
        loop {
            let slab = self.grow(class, me)?;
            // Relaxed: a hint.
            self.last[class].store(slab as u64 * u64::from(BLOCKS), Ordering::Relaxed);
            // In vain only if others have taken all of it meanwhile.
            if let Some(found) = self.find(class, me) {
                return Ok(found);
            }
        }
    }

    /// Looks through the slabs of `class`, from where the last object was made on.
    fn find(&self, class: usize, me: u16) -> Option<(u32, Place<'_>, Making)> {
        let view = self.view();
        let known = view.known_slabs();
        // Relaxed: a hint.
        let last = self.last[class].load(Ordering::Relaxed) as u32;
        let (last_slab, last_index) = ((last / BLOCKS) as usize, last % BLOCKS);
        let count = layout::blocks(class);
        let rounds = (0..=known.len()).map(|step| (step, (last_slab + step) % known.len().max(1)));
        for (step, slab) in rounds {
            if known.get(slab).and_then(|word| view.class(word)) != Some(class) {
                continue;
            }
            // The first slab from there on, and at last what comes before.
            let indices = if step == 0 { last_index.min(count)..count } else { 0..count };
            for index in indices {
                let place = view.block(slab, class, index);
                if let Some(making) = place.tenure().make(me) {
                    let number = slab as u32 * BLOCKS + index;
                    // The next one is looked for from here on, not behind it: it may be gone by then.
                    self.last[class].store(number.into(), Ordering::Relaxed);
                    return Some((number, place, making));
                }
            }
        }
        None
    }

    /// Puts one more slab into use, for blocks of `class`.
    fn grow(&self, class: usize, me: u16) -> Result<usize, Error> {
        let view = self.view();
        for (number, slab) in view.slabs().iter().enumerate() {
            let reserve = || {
                self.raise_high(number as u32 + 1);
                self.segment.reserve_tail(number as u64 * SLAB, SLAB)
            };
            match slab.take(class, me, reserve) {
                None => {}
                Some(Ok(())) => return Ok(number),
                Some(Err(source)) => {
                    return Err(match source.raw_os_error() {
                        Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG | libc::ENOMEM) => {
                            Error::NoSpace { needed: SLAB }
                        }
                        _ => Error::Os { action: "reserve space in the arena", source },
                    });
                }
            }
        }
        Err(Error::ArenaFull { capacity: view.slabs().len() as u64 * SLAB })
    }

    /// Gives back what the dead have left. Returns how many there were.
    pub(super) fn clean(&self) -> Result<usize, Error> {
        self.segment.member()?;
        Ok(self.segment.sweep_for_the_dead())
    }

    fn raise_high(&self, to: u32) {
        let high = &self.view().body().high;
        let mut seen = high.load(Ordering::Relaxed);
        while seen < to {
            // Relaxed: a bound for walks; who is to find a block there was told of it later.
            match high.compare_exchange(seen, to, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
    }
}

/// Whether an object that is there is what is to be attached to.
fn check<E: Primitive>(found: &Described, settings: &Settings) -> Result<(), Error> {
    let needs = E::needs(settings)?;
    if found.kind != E::KIND {
        return Err(Error::WrongKind { found: found.kind, expected: E::KIND });
    }
    if found.element != needs.element {
        return Err(Error::WrongElement { found: found.element, expected: needs.element });
    }
    if settings.capacity.is_some() && found.capacity != needs.capacity {
        return Err(Error::WrongCapacity { found: found.capacity, expected: needs.capacity });
    }
    if found.body_len != needs.body_len {
        let (found, expected) = (found.body_len, needs.body_len);
        return Err(Error::BadGeometry { field: "body length", found, expected });
    }
    Ok(())
}

/// Ends what the last holder of an index left, as its next holder: whoever calls this has the index's lock.
pub(super) fn sweep(segment: &Segment, dead: u16) {
    let view = View::new(segment);
    if !mutated!("arena.sweep_slabs") {
        view.slabs().iter().for_each(|slab| slab.sweep(dead));
    }
    for (_, place) in view.all() {
        let tenure = place.tenure();
        // Only what its mark keeps: another object may be half made. And nobody else takes the mark away.
        if tenure.is_kept_by(dead) && !mutated!("arena.sweep_objects") {
            sweep_object(place, dead);
        }
        tenure.sweep(dead);
    }
}

/// Ends what the process `gone` was about in an object that its mark keeps.
pub(super) fn sweep_object(place: Place<'_>, gone: u16) {
    if let Ok(described) = place.describe()
        && let Some(sweep) = sweep_of(described.kind, described.body_len, described.element.0)
    {
        sweep(place.block(&described), gone);
    }
}

/// Leaves to others, in good order, what the process `me` has in an object that its mark keeps. Returns whether it had
/// anything.
pub(super) fn leave_object(place: Place<'_>, me: u16) -> bool {
    place.describe().is_ok_and(|described| {
        let leave = leave_of(described.kind, described.body_len);
        leave.is_some_and(|leave| leave(place.block(&described), me))
    })
}

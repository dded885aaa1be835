//! Who is attached: one index per process and segment, shared by all its handles.

mod claims;
mod index;

pub(crate) use claims::{Adopt, Claims, Hold, Shared};

use super::Segment;
use super::admin::{self, Patience};
use super::farewell::Farewells;
use super::layout::{self, Row, now_in_nanoseconds};
use crate::error::Error;
use crate::sync::{AtomicPtr, Ordering, fence, mutated};
use crate::sys::file::FileId;
use crate::sys::fork::Generation;
use crate::sys::identity::ProcessId;
use crate::sys::lock_page::LockPage;
use index::{lock_one_of, take_index};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The participant indices this process holds.
///
/// One registry per generation: a child forked while another thread was inside leaves that one behind,
/// locked for ever, and makes its own.
#[derive(Debug)]
pub(crate) struct Registry {
    generation: u64,
    members: Mutex<HashMap<FileId, Member>>,
    pub(super) farewells: Farewells,
    /// That of the process which forked this one, as it was then.
    parents: Option<&'static Registry>,
}

#[derive(Debug)]
struct Member {
    page: LockPage,
    handles: usize,
    claims: Claims,
}

/// Of an ancestor nothing is known.
#[derive(Debug)]
struct Unknown;

static CURRENT: AtomicPtr<Registry> = AtomicPtr::new(core::ptr::null_mut());

impl Registry {
    /// The running process's registry.
    pub(crate) fn get() -> Result<&'static Self, Error> {
        let generation = Generation::get()?.current();
        loop {
            // Acquire pairs with the Release of the exchange below: the registry is built.
            let seen = CURRENT.load(Ordering::Acquire);
            // SAFETY: a registry is never freed once it was made current.
            if let Some(registry) = unsafe { seen.as_ref() }
                && registry.generation == generation
            {
                return Ok(registry);
            }
            // SAFETY: as above.
            let parents = unsafe { seen.as_ref() };
            let (members, farewells) = (Mutex::default(), Farewells::default());
            let fresh = Box::into_raw(Box::new(Registry { generation, members, farewells, parents }));
            if CURRENT.compare_exchange(seen, fresh, Ordering::Release, Ordering::Relaxed).is_err() {
                // SAFETY: made just above and seen by nobody.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<FileId, Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new handle its share in the process's index.
    pub(super) fn join(&self, segment: &Segment) -> Result<u16, Error> {
        let mut members = self.members();
        self.join_locked(&mut members, segment)
    }

    /// The same for a handle that a forked child inherited; several threads may come here at once.
    #[cold]
    pub(super) fn rejoin(&self, segment: &Segment) -> Result<u16, Error> {
        let mut members = self.members();
        let member = segment.member.load(Ordering::Relaxed);
        if member >> 16 == self.generation {
            return Ok(member as u16);
        }
        self.join_locked(&mut members, segment)
    }

    fn join_locked(&self, members: &mut HashMap<FileId, Member>, segment: &Segment) -> Result<u16, Error> {
        let index = match members.get_mut(&segment.id) {
            Some(member) => {
                member.handles += 1;
                member.page.index()
            }
            None => {
                let page = take_index(segment, self.parents_index(segment.id))?;
                let index = page.index();
                let claims = self.parents_claims(segment.id).inherit(segment, index);
                members.insert(segment.id, Member { page, handles: 1, claims });
                index
            }
        };
        segment.member.store(self.generation << 16 | u64::from(index), Ordering::Relaxed);
        Ok(index)
    }

    /// Lets `act` see, of the ancestors that took part in the segment, what the child that this process is knows of them:
    /// the nearest first, until there is a result. `None` behind one that was forked while another of its threads was at
    /// its registry: of that one and those before it nothing is known. The caller holds this registry.
    fn among_ancestors<R>(
        &self,
        mut act: impl FnMut(&mut HashMap<FileId, Member>) -> Option<R>,
    ) -> Result<Option<R>, Unknown> {
        let mut ancestor = self.parents;
        while let Some(registry) = ancestor {
            // Held by nobody in this process but whoever holds ours: by a thread that was not forked along, then.
            let mut members = registry.members.try_lock().map_err(|_| Unknown)?;
            if let Some(result) = act(&mut members) {
                return Ok(Some(result));
            }
            ancestor = registry.parents;
        }
        Ok(None)
    }

    /// The index that this process's parent, or the next of its ancestors that took part, had in the segment; 0 if none
    /// did, or nothing is known.
    fn parents_index(&self, id: FileId) -> u16 {
        let index = |members: &mut HashMap<_, Member>| members.get(&id).map(|member| member.page.index());
        self.among_ancestors(index).unwrap_or(None).unwrap_or(0)
    }

    /// What that one referred to there. It is this process's from now on: its own children look no further.
    fn parents_claims(&self, id: FileId) -> Claims {
        let mut nearest = None;
        let took_all = self.among_ancestors(|members| {
            // The page is the ancestor's, and not mapped here: dropping it does nothing.
            if let Some(member) = members.remove(&id)
                && nearest.is_none()
            {
                nearest = Some(member.claims);
            }
            None::<()>
        });
        match (nearest, took_all) {
            (Some(claims), _) => claims,
            (None, Ok(_)) => Claims::none(),
            (None, Err(Unknown)) => Claims { counted_since: self.generation, ..Claims::none() },
        }
    }

    /// Lets `act` see what this process refers to in a segment of many objects, and as whom, alone among its threads.
    /// `None` if the process does not take part in it.
    pub(crate) fn with_claims<R>(
        &self,
        segment: &Segment,
        adopt: Adopt,
        act: impl FnOnce(&mut Claims, u16) -> R,
    ) -> Option<R> {
        let mut members = self.members();
        let Member { claims, page, .. } = members.get_mut(&segment.id)?;
        claims.adopt = Some(adopt);
        Some(act(claims, page.index()))
    }

    /// Lets `act` see as whom this process takes part in a segment, and the numbers of the objects it refers to there, alone
    /// among its threads. `None` if it does not.
    pub(super) fn as_member<R>(
        &self,
        segment: &Segment,
        act: impl FnOnce(u16, &mut dyn Iterator<Item = u32>) -> R,
    ) -> Option<R> {
        let members = self.members();
        let Member { claims, page, .. } = members.get(&segment.id)?;
        Some(act(page.index(), &mut claims.by_number.keys().copied()))
    }

    /// Takes a handle's share in one of many objects back. `end` is told what is to be done, and as whom, alone among the
    /// threads of this process.
    pub(crate) fn drop_share(&self, segment: &Segment, shared: Shared, end: impl FnOnce(Hold, u16)) {
        let mut members = self.members();
        match members.get_mut(&segment.id) {
            Some(Member { claims, page, .. }) => {
                end(claims.drop_one(shared), page.index());
                self.go_if_unused(members, segment);
            }
            // A child that never took part. When it does, it must not count what it has not any more.
            None => {
                let _ = self.among_ancestors(|members| {
                    members.get_mut(&segment.id).map(|member| {
                        if let Some(claim) = member.claims.get_mut(shared.number)
                            && claim.id == shared.id
                        {
                            claim.shares = claim.shares.saturating_sub(1);
                        }
                    })
                });
            }
        }
    }

    /// Takes a handle's share back; the last one gives the index up.
    pub(super) fn leave(&self, segment: &Segment) {
        let mut members = self.members();
        let farewell = self.farewells.take(segment);
        let Some(member) = members.get_mut(&segment.id) else { return };
        member.handles -= 1;
        // Who goes because of a panic goes as the dead do.
        if member.handles == 0
            && let Some(farewell) = farewell
            && !std::thread::panicking()
        {
            farewell(segment, member.page.index(), &mut member.claims.by_number.keys().copied());
        }
        self.go_if_unused(members, segment);
    }

    fn go_if_unused(&self, mut members: MutexGuard<'_, HashMap<FileId, Member>>, segment: &Segment) {
        let Entry::Occupied(entry) = members.entry(segment.id) else { return };
        // What a child may still want of many objects keeps the process in its place, as do handles that it inherited.
        if entry.get().handles > 0 || !entry.get().claims.by_number.is_empty() {
            return;
        }
        let page = entry.remove().page;
        // What a leaked guard still claims must not look like the claim of the index's next holder.
        segment.sweep(page.index());
        clear_row(segment.row(page.index()));
        drop(page);
        drop(members);
        let Some(home) = &segment.home else { return };
        if segment.geometry().flags & layout::EPHEMERAL != 0 {
            // A failure leaves a name without participants behind, which `clean` removes.
            let _ = admin::remove_unused(home, segment.id, segment.geometry().participants);
        }
        if segment.is_retired() {
            admin::remove_fifos_of_nameless(home, segment.id);
        }
    }
}

impl Row {
    /// What the row says, if it is complete.
    pub(super) fn describe(&self) -> Option<ProcessId> {
        // Acquire: pairs with the Release in `write_row`: the fields are complete.
        let before = self.valid.load(Ordering::Acquire);
        let process = ProcessId {
            pid: self.pid.load(Ordering::Relaxed),
            namespace: self.namespace.load(Ordering::Relaxed),
            unique: self.unique.load(Ordering::Relaxed),
        };
        // Acquire: pairs with the Release fence in `write_row`: if one of the fields above was already the next
        // holder's, the look below sees that it is being, or has been, rewritten.
        fence(Ordering::Acquire);
        (before != 0 && self.valid.load(Ordering::Relaxed) == before).then_some(process)
    }
}

fn write_row(row: &Row, process: ProcessId) {
    let last = row.valid.load(Ordering::Relaxed);
    row.valid.store(0, Ordering::Relaxed);
    // Release: pairs with the Acquire fence in `Row::describe`: nobody sees a field below without the 0 above.
    fence(Ordering::Release);
    row.pid.store(process.pid, Ordering::Relaxed);
    row.namespace.store(process.namespace, Ordering::Relaxed);
    row.unique.store(process.unique, Ordering::Relaxed);
    let now = now_in_nanoseconds();
    row.joined.store(now, Ordering::Relaxed);
    // The number only has to differ from the last one and from 0.
    let number = if now == last || now == 0 { last.wrapping_add(1).max(1) } else { now };
    // Release: pairs with the Acquire in `Row::describe`.
    row.valid.store(number, Ordering::Release);
}

impl Segment {
    /// Calls `clean` for each index whose last holder died and which nobody has taken since, and strikes it off the
    /// table. `clean` runs without any lock: it must exchange exactly the words it judged, and ask about their owner
    /// after it read them. Returns how many there were.
    pub(crate) fn for_each_dead(&self, mut clean: impl FnMut(u16)) -> usize {
        let me = self.member.load(Ordering::Relaxed) as u16;
        let mut found = 0;
        for index in (1..=self.geometry.participants).filter(|&index| index != me) {
            let row = self.row(index);
            // Acquire: pairs with the Release in `write_row`: the row is read before its holder is asked after.
            let seen = row.valid.load(Ordering::Acquire);
            if seen != 0 && self.is_dead(index) {
                clean(index);
                found += 1;
                // A new holder has written a new number, and keeps its row.
                let _ = row.valid.compare_exchange(seen, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
        found
    }

    /// Sweeps for each participant that died and in whose place there is nobody yet, and strikes it off the table. Whoever
    /// sweeps has that place meanwhile, as its next holder would: what is swept away is no living process's. Returns how
    /// many there were; one that another process is just sweeping for is not counted.
    pub(crate) fn sweep_for_the_dead(&self) -> usize {
        let me = self.member.load(Ordering::Relaxed) as u16;
        let others = (1..=self.geometry.participants).filter(|&index| index != me);
        others.filter(|&index| self.may_be_left(index) && self.sweep_in_its_place(index)).count()
    }

    /// Whether the last holder of `index` is dead and has no successor; also if that was so a moment ago.
    fn may_be_left(&self, index: u16) -> bool {
        // Relaxed: who has its lock looks again.
        self.row(index).valid.load(Ordering::Relaxed) != 0 && self.is_dead(index)
    }

    fn sweep_in_its_place(&self, index: u16) -> bool {
        let locked = !mutated!("segment.sweep_in_place");
        let page = if locked { lock_one_of(self, || core::iter::once(index)).ok().flatten() } else { None };
        // Relaxed: its former holders have lost the lock since they wrote it. None of them left it by himself otherwise.
        if locked && page.is_none() || self.row(index).valid.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.sweep(index);
        clear_row(self.row(index));
        drop(page);
        true
    }
}

fn clear_row(row: &Row) {
    row.valid.store(0, Ordering::Relaxed);
}

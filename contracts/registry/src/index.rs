//! By which patterns are found: domain → 51 buckets of scores → creators → the newest three patterns of each in the domain.
//!
//! A creator stands once in each of its domains, in the bucket of its score, and moves only when the bucket changes. So what a
//! rating costs does not grow with the patterns of a creator, nor a page with those of one who registers thousands.

use near_sdk::{near, AccountId};

use crate::keys::{IndexLengths, IndexPlaces, IndexSlots, IndexUsed};

/// Points of a score in one bucket.
pub const BUCKET_POINTS: u16 = 20;
/// Patterns of one creator on a page.
pub const SHOWN: usize = 3;
/// Domains in which a creator can have patterns.
pub const MAX_DOMAINS: usize = 8;
/// Creators that one page looks at.
const MAX_LOOKED_AT: u32 = 1_000;

/// A creator, where it stands in a bucket.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Who it is.
    pub creator: AccountId,
    /// Its newest patterns in the domain, the newest first; never empty.
    pub newest: Vec<u64>,
}

/// Where a creator stands in a domain.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    bucket: u8,
    position: u32,
}

/// The index.
#[near(serializers = [borsh])]
#[derive(Default)]
pub struct Index {
    used: IndexUsed,
    lengths: IndexLengths,
    slots: IndexSlots,
    places: IndexPlaces,
}

impl Index {
    /// The newest pattern of a creator in a domain.
    pub fn newest(&self, creator: &AccountId, domain: &str) -> Option<u64> {
        let place = self.places.get(&(creator.clone(), domain.to_owned()))?;
        self.slots.get(&place.slot(domain))?.newest.first().copied()
    }

    /// Says which patterns of a creator in a domain are the newest; without any, it is not found there any more.
    pub fn set(&mut self, creator: &AccountId, domain: &str, score: u16, newest: Vec<u64>) {
        let slot = Slot { creator: creator.clone(), newest };
        match self.places.get(&(creator.clone(), domain.to_owned())) {
            Some(place) if slot.newest.is_empty() => self.take(creator, domain, place),
            Some(place) => self.slots.set(&place.slot(domain), &slot),
            None if slot.newest.is_empty() => {}
            None => self.put(domain, bucket(score), slot),
        }
    }

    /// Moves a creator in a domain to the bucket of its score.
    pub fn score(&mut self, creator: &AccountId, domain: &str, score: u16) {
        let Some(place) = self.places.get(&(creator.clone(), domain.to_owned())) else {
            return;
        };
        if place.bucket == bucket(score) {
            return;
        }
        if let Some(slot) = self.slots.get(&place.slot(domain)) {
            self.take(creator, domain, place);
            self.put(domain, bucket(score), slot);
        }
    }

    fn put(&mut self, domain: &str, bucket: u8, slot: Slot) {
        let lengths = (domain.to_owned(), bucket);
        let position = self.lengths.get(&lengths).unwrap_or(0);
        self.lengths.set(&lengths, &(position + 1));
        if position == 0 {
            let used = self.used.get(&lengths.0).unwrap_or(0);
            self.used.set(&lengths.0, &(used | 1 << bucket));
        }
        self.place(domain, Place { bucket, position }, &slot);
    }

    fn place(&mut self, domain: &str, place: Place, slot: &Slot) {
        self.places.set(&(slot.creator.clone(), domain.to_owned()), &place);
        self.slots.set(&place.slot(domain), slot);
    }

    /// The last one of the bucket takes the place of the one that leaves.
    fn take(&mut self, creator: &AccountId, domain: &str, place: Place) {
        self.places.remove(&(creator.clone(), domain.to_owned()));
        let lengths = (domain.to_owned(), place.bucket);
        let last = self.lengths.get(&lengths).map_or(0, |length| length.saturating_sub(1));
        let moved = self.slots.take(&Place { position: last, ..place }.slot(domain));
        if let (true, Some(moved)) = (last != place.position, moved) {
            self.place(domain, place, &moved);
        }
        if last > 0 {
            self.lengths.set(&lengths, &last);
            return;
        }
        self.lengths.remove(&lengths);
        let left = self.used.get(&lengths.0).map_or(0, |used| used & !(1 << place.bucket));
        if left == 0 {
            self.used.remove(&lengths.0);
        } else {
            self.used.set(&lengths.0, &left);
        }
    }

    /// Those in a domain, from the highest bucket down to that of ``lowest``, and in each the last that came first.
    pub fn creators<'a>(&'a self, domain: &'a str, lowest: u16) -> impl Iterator<Item = Slot> + 'a {
        let used = self.used.get(&domain.to_owned()).unwrap_or(0);
        let buckets = (bucket(lowest)..=bucket(1_000)).rev().filter(move |bucket| used >> bucket & 1 == 1);
        let places = buckets.flat_map(move |bucket| {
            let length = self.lengths.get(&(domain.to_owned(), bucket)).unwrap_or(0);
            (0..length).rev().map(move |position| Place { bucket, position })
        });
        let bound = usize::try_from(MAX_LOOKED_AT).unwrap_or(usize::MAX);
        places.take(bound).filter_map(move |place| self.slots.get(&place.slot(domain)))
    }
}

impl Place {
    fn slot(self, domain: &str) -> (String, u8, u32) {
        (domain.to_owned(), self.bucket, self.position)
    }
}

fn bucket(score: u16) -> u8 {
    u8::try_from(score.min(1_000) / BUCKET_POINTS).unwrap_or(u8::MAX)
}

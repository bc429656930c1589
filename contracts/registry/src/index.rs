//! By which patterns are found: domain → 51 buckets of scores → creators → the newest three patterns of each in the domain.
//!
//! A creator stands once in each of its domains, in the bucket of its score, and moves only when the bucket changes. So what a
//! rating costs does not grow with the patterns of a creator, nor a page with those of one who registers thousands.

use near_sdk::store::LookupMap;
use near_sdk::{near, AccountId};

use crate::keys::Key;

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
struct Place {
    bucket: u8,
    position: u32,
}

/// The index.
#[near(serializers = [borsh])]
pub struct Index {
    used: LookupMap<String, u64>, // domain → which buckets have anybody
    lengths: LookupMap<(String, u8), u32>,
    slots: LookupMap<(String, u8, u32), Slot>,
    places: LookupMap<(AccountId, String), Place>,
}

impl Index {
    /// Without anybody.
    pub fn new() -> Self {
        Self {
            used: LookupMap::new(Key::IndexUsed),
            lengths: LookupMap::new(Key::IndexLengths),
            slots: LookupMap::new(Key::IndexSlots),
            places: LookupMap::new(Key::IndexPlaces),
        }
    }

    /// The newest pattern of a creator in a domain.
    pub fn newest(&self, creator: &AccountId, domain: &str) -> Option<u64> {
        let place = self.places.get(&(creator.clone(), domain.to_owned()))?;
        self.slots
            .get(&(domain.to_owned(), place.bucket, place.position))?
            .newest
            .first()
            .copied()
    }

    /// Says which patterns of a creator in a domain are the newest; without any, it is not found there any more.
    pub fn set(&mut self, creator: &AccountId, domain: &str, score: u16, newest: Vec<u64>) {
        let place = self
            .places
            .get(&(creator.clone(), domain.to_owned()))
            .copied();
        match place {
            Some(place) if newest.is_empty() => self.take(creator, domain, place),
            Some(place) => {
                if let Some(slot) =
                    self.slots
                        .get_mut(&(domain.to_owned(), place.bucket, place.position))
                {
                    slot.newest = newest;
                }
            }
            None if newest.is_empty() => {}
            None => self.put(
                domain,
                bucket(score),
                Slot {
                    creator: creator.clone(),
                    newest,
                },
            ),
        }
    }

    /// Moves a creator in a domain to the bucket of its score.
    pub fn score(&mut self, creator: &AccountId, domain: &str, score: u16) {
        let Some(place) = self
            .places
            .get(&(creator.clone(), domain.to_owned()))
            .copied()
        else {
            return;
        };
        if place.bucket == bucket(score) {
            return;
        }
        let slot = self
            .slots
            .get(&(domain.to_owned(), place.bucket, place.position))
            .cloned();
        self.take(creator, domain, place);
        if let Some(slot) = slot {
            self.put(domain, bucket(score), slot);
        }
    }

    fn put(&mut self, domain: &str, bucket: u8, slot: Slot) {
        let length = self
            .lengths
            .entry((domain.to_owned(), bucket))
            .or_insert_with(|| 0);
        let position = *length;
        *length += 1;
        *self.used.entry(domain.to_owned()).or_insert_with(|| 0) |= 1 << bucket;
        self.places.insert(
            (slot.creator.clone(), domain.to_owned()),
            Place { bucket, position },
        );
        self.slots
            .insert((domain.to_owned(), bucket, position), slot);
    }

    /// The last one of the bucket takes the place of the one that leaves.
    fn take(&mut self, creator: &AccountId, domain: &str, place: Place) {
        let Place { bucket, position } = place;
        self.places.remove(&(creator.clone(), domain.to_owned()));
        let lengths = (domain.to_owned(), bucket);
        let last = self
            .lengths
            .get(&lengths)
            .map_or(0, |length| length.saturating_sub(1));
        let moved = self.slots.remove(&(domain.to_owned(), bucket, last));
        if let (true, Some(moved)) = (last != position, moved) {
            self.places.insert(
                (moved.creator.clone(), domain.to_owned()),
                Place { bucket, position },
            );
            self.slots
                .insert((domain.to_owned(), bucket, position), moved);
        }
        if last > 0 {
            self.lengths.insert(lengths, last);
            return;
        }
        self.lengths.remove(&lengths);
        let left = self
            .used
            .get(domain)
            .map_or(0, |used| used & !(1 << bucket));
        if left == 0 {
            self.used.remove(domain);
        } else {
            self.used.insert(domain.to_owned(), left);
        }
    }

    /// Those in a domain, from the highest bucket down to that of ``lowest``, and in each the last that came first.
    pub fn creators<'a>(
        &'a self,
        domain: &'a str,
        lowest: u16,
    ) -> impl Iterator<Item = &'a Slot> + 'a {
        let used = self.used.get(domain).copied().unwrap_or(0);
        let buckets = (bucket(lowest)..=bucket(1_000))
            .rev()
            .filter(move |bucket| used >> bucket & 1 == 1);
        let places = buckets.flat_map(move |bucket| {
            let length = self
                .lengths
                .get(&(domain.to_owned(), bucket))
                .copied()
                .unwrap_or(0);
            (0..length).rev().map(move |position| (bucket, position))
        });
        let bound = usize::try_from(MAX_LOOKED_AT).unwrap_or(usize::MAX);
        places.take(bound).filter_map(move |(bucket, position)| {
            self.slots.get(&(domain.to_owned(), bucket, position))
        })
    }
}

fn bucket(score: u16) -> u8 {
    u8::try_from(score.min(1_000) / BUCKET_POINTS).unwrap_or(u8::MAX)
}

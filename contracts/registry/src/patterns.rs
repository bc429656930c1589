//! Patterns come, change and go: each change has a number of its own.

use mycel_common::{one_yocto, Error, Hash, DAY_NS};
use near_sdk::json_types::U128;
use near_sdk::{env, near, AccountId};

use crate::events::Event;
use crate::index::{MAX_DOMAINS, SHOWN};
use crate::money::Back;
use crate::records::{Creator, Pattern};
use crate::{prices, text, Registry, RegistryExt};

/// From being retired until the deposit is given back.
pub const RELEASE_WAIT_NS: u64 = 30 * DAY_NS;

#[near]
impl Registry {
    /// Registers a pattern; returns its number.
    #[payable]
    #[handle_result]
    pub fn register_pattern(
        &mut self,
        pattern_hash: Hash,
        metadata_cid: String,
        domain: String,
        price_per_use: U128,
    ) -> Result<u64, Error> {
        self.governance.running()?;
        text::cid(&metadata_cid, &pattern_hash)?;
        text::domain(&domain)?;
        let beyond = Self::beyond(prices::PATTERN + prices::DEPOSIT)?;
        let caller = env::predecessor_account_id();
        let hash = (caller.clone(), pattern_hash);
        if let Some(id) = self.by_hash.get(&hash) {
            return Err(Error::Exists(id));
        }
        let id = self.next_id;
        self.next_id += 1;
        self.by_hash.set(&hash, &id);
        let now = env::block_timestamp();
        let mut creator = self.creators.get(&caller).unwrap_or_else(|| Creator::new(now));
        if !creator.domains.contains(&domain) {
            if creator.domains.len() >= MAX_DOMAINS {
                return Err(Error::Full("domains: a creator has at most 8"));
            }
            creator.domains.push(domain.clone());
        }
        self.by_creator.set(&(caller.clone(), creator.patterns), &id);
        creator.patterns += 1;
        self.creators.set(&caller, &creator);
        let mut pattern = Pattern {
            creator: caller.clone(),
            hash: pattern_hash,
            cid: metadata_cid.clone(),
            domain: domain.clone(),
            price: price_per_use.0,
            version: 1,
            registered_at: now,
            updated_at: now,
            retired_at: None,
            deposit: prices::DEPOSIT,
            uses: 0,
            ratings: 0,
            seq: 0,
            older: self.index.newest(&caller, &domain),
            newer: None,
        };
        self.link(pattern.older, |older| older.newer = Some(id));
        self.number(id, &mut pattern)?;
        let seq = pattern.seq;
        self.patterns.set(&id, &pattern);
        self.show(&caller, &domain, creator.score, Some(id));
        self.ledger.storage.0 += prices::PATTERN;
        self.ledger.deposits.0 += prices::DEPOSIT;
        self.pay(&caller, beyond, Back::Account);
        Event::Registered { id, creator: caller, pattern_hash, metadata_cid, domain, price_per_use, seq }.emit();
        Ok(id)
    }

    /// Another manifest under the same number; returns its version.
    #[payable]
    #[handle_result]
    pub fn update_pattern(&mut self, id: u64, pattern_hash: Hash, metadata_cid: String) -> Result<u32, Error> {
        self.governance.running()?;
        text::cid(&metadata_cid, &pattern_hash)?;
        let mut pattern = self.of_caller(id)?;
        let hash = (pattern.creator.clone(), pattern_hash);
        if let Some(id) = self.by_hash.get(&hash) {
            return Err(Error::Exists(id));
        }
        self.by_hash.remove(&(pattern.creator.clone(), pattern.hash));
        self.by_hash.set(&hash, &id);
        pattern.hash = pattern_hash;
        pattern.cid.clone_from(&metadata_cid);
        pattern.version = pattern.version.checked_add(1).ok_or(Error::Full("versions"))?;
        self.number(id, &mut pattern)?;
        let (version, seq) = (pattern.version, pattern.seq);
        self.patterns.set(&id, &pattern);
        Event::Updated { id, pattern_hash, metadata_cid, version, seq }.emit();
        Ok(version)
    }

    /// Another price for the uses to come; returns the version, which stays.
    #[payable]
    #[handle_result]
    pub fn set_price(&mut self, id: u64, price_per_use: U128) -> Result<u32, Error> {
        self.governance.running()?;
        let mut pattern = self.of_caller(id)?;
        pattern.price = price_per_use.0;
        self.number(id, &mut pattern)?;
        let (version, seq) = (pattern.version, pattern.seq);
        self.patterns.set(&id, &pattern);
        Event::Priced { id, price_per_use, seq }.emit();
        Ok(version)
    }

    /// Nobody can use it any more, nor finds it.
    #[payable]
    #[handle_result]
    pub fn retire_pattern(&mut self, id: u64) -> Result<(), Error> {
        let mut pattern = self.of_caller(id)?;
        pattern.retired_at = Some(env::block_timestamp());
        let (older, newer) = (pattern.older.take(), pattern.newer.take());
        self.link(older, |other| other.newer = newer);
        self.link(newer, |other| other.older = older);
        self.number(id, &mut pattern)?;
        let seq = pattern.seq;
        let (creator, domain) = (pattern.creator.clone(), pattern.domain.clone());
        self.patterns.set(&id, &pattern);
        let newest = match self.index.newest(&creator, &domain) {
            Some(newest) if newest == id => older,
            newest => newest,
        };
        if let Some(mut known) = self.creators.get(&creator) {
            self.show(&creator, &domain, known.score, newest);
            if newest.is_none() {
                known.domains.retain(|one| *one != domain);
                self.creators.set(&creator, &known);
            }
        }
        Event::Retired { id, seq }.emit();
        Ok(())
    }

    /// Gives the deposit of a retired pattern back; returns how much.
    #[payable]
    #[handle_result]
    pub fn release_deposit(&mut self, id: u64) -> Result<U128, Error> {
        one_yocto()?;
        let mut pattern = self.patterns.get(&id).ok_or(Error::Unknown("pattern"))?;
        let caller = env::predecessor_account_id();
        if pattern.creator != caller {
            return Err(Error::NotAllowed("the creator"));
        }
        let from = pattern.retired_at.ok_or(Error::Field("the pattern is not retired"))? + RELEASE_WAIT_NS;
        if env::block_timestamp() < from {
            return Err(Error::Early(from));
        }
        let amount = core::mem::take(&mut pattern.deposit);
        if amount == 0 {
            return Err(Error::Unknown("deposit: it was given back"));
        }
        self.patterns.set(&id, &pattern);
        self.ledger.deposits.0 -= amount;
        self.pay(&caller, amount, Back::Account);
        Event::DepositReleased { id, amount: U128(amount) }.emit();
        Ok(U128(amount))
    }
}

impl Registry {
    /// A pattern of the caller, who has attached one yoctoNEAR, that is not retired.
    fn of_caller(&self, id: u64) -> Result<Pattern, Error> {
        one_yocto()?;
        let pattern = self.patterns.get(&id).ok_or(Error::Unknown("pattern"))?;
        if pattern.creator != env::predecessor_account_id() {
            return Err(Error::NotAllowed("the creator"));
        }
        if pattern.retired_at.is_some() {
            return Err(Error::Retired);
        }
        Ok(pattern)
    }

    /// Gives a change its number, and frees that of the one before.
    fn number(&mut self, id: u64, pattern: &mut Pattern) -> Result<(), Error> {
        if self.changed.get(&pattern.seq) == Some(id) {
            self.changed.remove(&pattern.seq);
            self.seqs.remove(pattern.seq);
        }
        pattern.seq = self.next_seq;
        pattern.updated_at = env::block_timestamp();
        self.next_seq = self.next_seq.checked_add(1).ok_or(Error::Full("changes"))?;
        self.changed.set(&pattern.seq, &id);
        self.seqs.insert(pattern.seq);
        Ok(())
    }

    /// Changes the neighbour of a pattern, if it has one.
    fn link(&mut self, neighbour: Option<u64>, change: impl FnOnce(&mut Pattern)) {
        if let Some((id, mut pattern)) = neighbour.and_then(|id| Some((id, self.patterns.get(&id)?))) {
            change(&mut pattern);
            self.patterns.set(&id, &pattern);
        }
    }

    /// Puts the newest patterns of a creator in a domain into the index: ``newest``, and those before it.
    fn show(&mut self, creator: &AccountId, domain: &str, score: u16, newest: Option<u64>) {
        let mut shown = Vec::with_capacity(SHOWN);
        let mut next = newest;
        while let (Some(id), true) = (next, shown.len() < SHOWN) {
            shown.push(id);
            next = self.patterns.get(&id).and_then(|pattern| pattern.older);
        }
        self.index.set(creator, domain, score, shown);
    }
}

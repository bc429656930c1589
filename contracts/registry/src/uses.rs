//! A use is bought: the creator has the price but for the fee, and the buyer a receipt.

use mycel_common::{one_yocto, Error, Hash, DAY_NS};
use near_sdk::json_types::U128;
use near_sdk::{env, near};

use crate::events::Event;
use crate::money::Back;
use crate::records::{Contribution, Pattern, QuoteView, Receipt, UsedView, Uses};
use crate::{prices, text, Registry, RegistryExt};

/// From the last use until a receipt can be dropped: far longer than a signed transaction is valid.
pub const DROP_WAIT_NS: u64 = 30 * DAY_NS;

#[near]
impl Registry {
    /// Buys the ``nth`` use of a pattern, at most at ``max_price``, if it is still the one that is expected.
    #[payable]
    #[handle_result]
    pub fn use_pattern(&mut self, id: u64, expected_hash: Hash, max_price: U128, nth: u32) -> Result<UsedView, Error> {
        self.governance.running()?;
        let caller = env::predecessor_account_id();
        let mut pattern = self.patterns.get(&id).ok_or(Error::Unknown("pattern"))?;
        if pattern.retired_at.is_some() {
            return Err(Error::Retired);
        }
        if pattern.creator == caller {
            return Err(Error::NotAllowed("others than the creator"));
        }
        if pattern.hash != expected_hash {
            return Err(Error::Changed);
        }
        if pattern.price > max_price.0 {
            return Err(Error::Price(pattern.price));
        }
        let (price, version) = (pattern.price, pattern.version);
        let key = (id, caller.clone());
        let before = self.receipts.get(&key);
        let (uses, rated) = before.as_ref().map_or((0, 0), Receipt::counts);
        if uses.checked_add(1) != Some(nth) {
            return Err(Error::Nth(uses.saturating_add(1)));
        }
        let storage = storage_of(before.as_ref());
        let refunded = Self::beyond(price.checked_add(storage).ok_or(Error::Deposit(u128::MAX))?)?;
        let fee = self.fee_of(price);
        let (pending, paid, unrated_fees) = match before {
            Some(Receipt::Full(known)) => (known.pending, known.paid, known.unrated_fees),
            _ => (false, 0, 0),
        };
        let uses = Uses {
            count: nth,
            rated,
            pending,
            hash: expected_hash,
            version,
            paid: paid.saturating_add(price),
            unrated_fees: unrated_fees + fee.min(prices::FULL_WEIGHT_FEE),
            last_at: env::block_timestamp(),
        };
        self.receipts.set(&key, &Receipt::Full(uses));
        pattern.uses += 1;
        self.patterns.set(&id, &pattern);
        self.ledger.storage.0 += storage;
        self.ledger.fees.0 += fee;
        self.pay(&pattern.creator, price - fee, Back::Account);
        self.pay(&caller, refunded, Back::Account);
        Event::Used { id, account: caller, nth, version, price: U128(price), fee: U128(fee) }.emit();
        Ok(UsedView { nth, version, price: U128(price), fee: U128(fee), refunded: U128(refunded) })
    }

    /// Gives back what the receipt cost, but for the counts, which stay; 30 days after the last use. Returns how much.
    #[payable]
    #[handle_result]
    pub fn drop_receipt(&mut self, id: u64) -> Result<U128, Error> {
        one_yocto()?;
        let caller = env::predecessor_account_id();
        let key = (id, caller.clone());
        let Some(Receipt::Full(known)) = self.receipts.get(&key) else {
            return Err(Error::Unknown("receipt"));
        };
        if known.pending {
            return Err(Error::Pending);
        }
        let from = known.last_at + DROP_WAIT_NS;
        if env::block_timestamp() < from {
            return Err(Error::Early(from));
        }
        // what it cost is forgotten, so what was not rated cannot be any more
        let (uses, rated) = (known.count, known.count);
        self.receipts.set(&key, &Receipt::Dropped { uses, rated });
        self.ledger.storage.0 -= prices::DROPPED;
        self.pay(&caller, prices::DROPPED, Back::Account);
        Event::ReceiptDropped { id, account: caller }.emit();
        Ok(U128(prices::DROPPED))
    }

    /// Counts a contribution to a model; returns how many they are.
    #[payable]
    #[handle_result]
    pub fn record_fl_contribution(&mut self, model: String, gradient_hash: Hash) -> Result<u32, Error> {
        text::model(&model)?;
        let caller = env::predecessor_account_id();
        let key = (caller.clone(), model.clone());
        let before = self.contributions.get(&key).map_or(0, |known| known.count);
        let storage = if before == 0 { prices::CONTRIBUTION } else { 0 };
        let beyond = Self::beyond(storage)?;
        let count = before.checked_add(1).ok_or(Error::Full("contributions"))?;
        let contribution = Contribution { count, gradient_hash, last_at: env::block_timestamp() };
        self.contributions.set(&key, &contribution);
        self.ledger.storage.0 += storage;
        self.pay(&caller, beyond, Back::Account);
        Event::Contributed { account: caller, model, gradient_hash, count }.emit();
        Ok(count)
    }
}

impl Registry {
    /// What the next use of a pattern costs an account.
    pub(crate) fn quoted(&self, pattern: &Pattern, receipt: Option<&Receipt>) -> QuoteView {
        let storage = storage_of(receipt);
        QuoteView {
            price: U128(pattern.price),
            fee: U128(self.fee_of(pattern.price)),
            storage: U128(storage),
            total: U128(pattern.price.saturating_add(storage)),
            hash: pattern.hash,
            version: pattern.version,
            nth: receipt.map_or(0, |known| known.counts().0).saturating_add(1),
            paused: self.governance.paused(),
            retired: pattern.retired_at.is_some(),
        }
    }
}

/// What is to be paid for the receipt of the next use.
fn storage_of(receipt: Option<&Receipt>) -> u128 {
    match receipt {
        None => prices::RECEIPT,
        Some(Receipt::Dropped { .. }) => prices::DROPPED,
        Some(Receipt::Full(_)) => 0,
    }
}

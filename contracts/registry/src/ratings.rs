//! Ratings: by who paid, each use once, with the weight of the fee that it cost.

use mycel_common::{Error, Outcome};
use near_sdk::json_types::U128;
use near_sdk::{env, ext_contract, near, serde_json, AccountId, Gas, NearToken, PromiseOrValue};

use crate::events::Event;
use crate::records::{Receipt, WeightView};
use crate::{prices, Registry, RegistryExt};

/// For the call of the other contract, and for what comes after it (docs/contracts.md).
pub const UPDATE_GAS: Gas = Gas::from_tgas(4);
/// The same of a view.
pub const VIEW_GAS: Gas = Gas::from_tgas(3);
/// It may move a creator in eight domains.
pub const ON_REPUTATION_GAS: Gas = Gas::from_tgas(30);

const FULL_WEIGHT: u128 = 1_000;
const MAX_ANSWER: usize = 512; // bytes of JSON

/// What the other contract answers; of a view it says more.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reputation {
    score: u16,
    version: u64,
}

/// A rating under way.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    id: u64,
    payer: AccountId,
    fees: U128, // of the use that is rated
    weight: u16,
    slot: bool, // is it the creator's first, which pays for the score?
}

/// The other contract.
#[allow(dead_code)] // only what is made of it is
#[ext_contract(reputation_contract)]
pub trait ReputationContract {
    /// Counts a rating.
    fn update_reputation(&mut self, account: AccountId, pattern_id: u64, outcome: Outcome, weight: u16) -> Reputation;
    /// Says how an account stands.
    fn get_reputation(&self, account: AccountId) -> Reputation;
}

#[near]
impl Registry {
    /// Rates a use that was paid for and not rated; returns the weight that this has, 0 to 1000.
    #[handle_result]
    pub fn rate_pattern(&mut self, id: u64, success: bool, rating: u8) -> Result<PromiseOrValue<WeightView>, Error> {
        self.governance.running()?;
        if !(1..=5).contains(&rating) {
            return Err(Error::Field("a rating is 1 to 5"));
        }
        let payer = env::predecessor_account_id();
        let key = (id, payer.clone());
        let Some(Receipt::Full(mut known)) = self.receipts.get(&key) else {
            return Err(Error::Unknown("receipt of yours"));
        };
        if known.pending {
            return Err(Error::Pending);
        }
        let left = known.count.checked_sub(known.rated).filter(|left| *left > 0).ok_or(Error::Rated)?;
        let fees = known.unrated_fees / u128::from(left);
        known.rated += 1;
        known.unrated_fees -= fees;
        let full = fees.min(prices::FULL_WEIGHT_FEE) * FULL_WEIGHT / prices::FULL_WEIGHT_FEE;
        let weight = u16::try_from(full / u128::from(known.rated)).unwrap_or(0);
        known.pending = weight > 0;
        self.receipts.set(&key, &Receipt::Full(known));
        let mut pattern = self.patterns.get(&id).ok_or(Error::Unknown("pattern"))?;
        pattern.ratings += 1;
        self.patterns.set(&id, &pattern);
        let creator = pattern.creator;
        Event::Rated { id, account: payer.clone(), success, rating, weight }.emit();
        if weight == 0 {
            return Ok(PromiseOrValue::Value(WeightView { weight })); // it cost nothing, so it says nothing
        }
        self.pending_ratings += 1;
        let slot = self.slot_paid(&creator, true);
        let deposit = if slot { prices::SCORE } else { 0 };
        self.ledger.storage.0 -= deposit;
        self.ledger.in_flight.0 += deposit;
        let outcome = if success { Outcome::Success { rating } } else { Outcome::Failure };
        let rated = Rating { id, payer, fees: U128(fees), weight, slot };
        let asked = reputation_contract::ext(self.reputation.clone())
            .with_static_gas(UPDATE_GAS)
            .with_attached_deposit(NearToken::from_yoctonear(deposit))
            .with_unused_gas_weight(0)
            .update_reputation(creator.clone(), id, outcome, weight);
        let then = Self::ext(env::current_account_id()).with_static_gas(ON_REPUTATION_GAS).with_unused_gas_weight(0);
        Ok(PromiseOrValue::Promise(asked.then(then.on_reputation(creator, Some(rated)))))
    }

    /// Mirrors the reputation of a creator; by anybody.
    #[handle_result]
    pub fn sync_reputation(&mut self, account: AccountId) -> Result<PromiseOrValue<WeightView>, Error> {
        if !self.creators.has(&account) {
            return Err(Error::Unknown("creator"));
        }
        let asked = reputation_contract::ext(self.reputation.clone())
            .with_static_gas(VIEW_GAS)
            .with_unused_gas_weight(0)
            .get_reputation(account.clone());
        let then = Self::ext(env::current_account_id()).with_static_gas(ON_REPUTATION_GAS).with_unused_gas_weight(0);
        Ok(PromiseOrValue::Promise(asked.then(then.on_reputation(account, None))))
    }

    /// After the other contract has answered. If it failed, the rating has not been.
    #[private]
    pub fn on_reputation(
        &mut self,
        #[serializer(borsh)] account: AccountId,
        #[serializer(borsh)] rating: Option<Rating>,
    ) -> WeightView {
        let answer = env::promise_result_checked(0, MAX_ANSWER);
        let weight = match rating {
            Some(rating) => self.rated(&account, &rating, answer.is_ok()),
            None => 0,
        };
        if let Some(known) = answer.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            self.mirror(account, &known);
        }
        WeightView { weight }
    }
}

impl Registry {
    /// Ends a rating; returns the weight that it had.
    fn rated(&mut self, creator: &AccountId, rating: &Rating, counted: bool) -> u16 {
        self.pending_ratings = self.pending_ratings.saturating_sub(1);
        let slot = if rating.slot { prices::SCORE } else { 0 };
        self.ledger.in_flight.0 = self.ledger.in_flight.0.saturating_sub(slot);
        let key = (rating.id, rating.payer.clone());
        let Some(Receipt::Full(mut known)) = self.receipts.get(&key) else {
            return 0;
        };
        known.pending = false;
        if !counted {
            known.rated = known.rated.saturating_sub(1);
            known.unrated_fees += rating.fees.0;
        }
        self.receipts.set(&key, &Receipt::Full(known));
        if counted {
            return rating.weight;
        }
        if let Some(mut pattern) = self.patterns.get(&rating.id) {
            pattern.ratings = pattern.ratings.saturating_sub(1);
            self.patterns.set(&rating.id, &pattern);
        }
        self.ledger.storage.0 += slot;
        if rating.slot {
            self.slot_paid(creator, false);
        }
        Event::RatingFailed { id: rating.id, account: rating.payer.clone() }.emit();
        0
    }

    /// Notes whether the score of a creator in the other contract is paid for; says whether that is new.
    fn slot_paid(&mut self, creator: &AccountId, paid: bool) -> bool {
        let Some(mut known) = self.creators.get(creator).filter(|known| known.slot_paid != paid) else {
            return false;
        };
        known.slot_paid = paid;
        self.creators.set(creator, &known);
        true
    }

    /// Takes a newer reputation.
    fn mirror(&mut self, account: AccountId, found: &Reputation) {
        let Some(mut known) = self.creators.get(&account) else {
            return;
        };
        // of the same version it is the same, faded since
        if found.version < known.version || found.score > 1_000 {
            return;
        }
        known.score = found.score;
        known.version = found.version;
        known.score_at = env::block_timestamp();
        self.creators.set(&account, &known);
        for domain in &known.domains {
            self.index.score(&account, domain, found.score);
        }
        Event::ReputationMirrored { account, score: found.score, version: found.version }.emit();
    }
}

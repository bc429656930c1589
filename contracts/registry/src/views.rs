//! What anybody can ask, without a transaction.

use mycel_common::{Error, Hash};
use near_sdk::json_types::{U128, U64};
use near_sdk::{near, AccountId};

use crate::money::Ledger;
use crate::records::{ChangeView, ChangesView, ContributionView, FoundView, PatternView, QuoteView, ReceiptView};
use crate::{prices, Registry, RegistryExt};

/// Of a page.
pub const MAX_LIMIT: u32 = 50;
/// As far as `find_patterns` goes.
pub const MAX_FOUND: u32 = 500;

/// What things cost here, in yoctoNEAR.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    /// For storing a pattern.
    pub pattern: U128,
    /// Held while it is registered.
    pub deposit: U128,
    /// For storing a receipt.
    pub receipt: U128,
    /// Of that, what dropping it gives back.
    pub dropped: U128,
    /// For storing a contribution.
    pub contribution: U128,
}

/// A rate that is not in force yet.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingFee {
    /// Hundredths of a percent.
    pub bps: u16,
    /// In nanoseconds since 1970.
    pub from: U64,
}

/// How the contract stands.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Another one than before: this is another contract, and its numbers begin anew.
    pub instance: U64,
    /// Of the state.
    pub state_version: u16,
    /// The number of the next change.
    pub seq: u32,
    /// The number of the next pattern.
    pub next_id: u64,
    /// The owner.
    pub owner: AccountId,
    /// The other contract.
    pub reputation: AccountId,
    /// Is it paused?
    pub paused: bool,
    /// Since when.
    pub paused_since: Option<U64>,
    /// Hundredths of a percent.
    pub fee_bps: u16,
    /// To come.
    pub pending_fee: Option<PendingFee>,
    /// Code that is to come.
    pub staged: Option<Hash>,
    /// From when on it may.
    pub staged_from: Option<U64>,
    /// Ratings under way.
    pub pending_ratings: u32,
    /// Whose money it is.
    pub ledger: Ledger,
    /// What things cost.
    pub prices: Prices,
}

#[near]
impl Registry {
    /// What the next use of a pattern costs an account.
    #[handle_result]
    pub fn quote(&self, id: u64, account: AccountId) -> Result<QuoteView, Error> {
        let pattern = self.patterns.get(&id).ok_or(Error::Unknown("pattern"))?;
        Ok(self.quoted(&pattern, self.receipts.get(&(id, account)).as_ref()))
    }

    /// A pattern.
    pub fn get_pattern(&self, id: u64) -> Option<PatternView> {
        self.patterns.get(&id).map(|pattern| pattern.view(id))
    }

    /// The pattern that a creator registered under a hash that it has now.
    pub fn pattern_by_hash(&self, creator: AccountId, hash: Hash) -> Option<PatternView> {
        self.by_hash.get(&(creator, hash)).and_then(|id| self.get_pattern(id))
    }

    /// The patterns of a creator, in the order in which they were registered.
    pub fn patterns_by_creator(&self, creator: AccountId, from_index: u32, limit: u32) -> Vec<PatternView> {
        let known = self.creators.get(&creator).map_or(0, |known| known.patterns);
        let end = known.min(from_index.saturating_add(limit.min(MAX_LIMIT)));
        let ids = (from_index..end).filter_map(|place| self.by_creator.get(&(creator.clone(), place)));
        ids.filter_map(|id| self.get_pattern(id)).collect()
    }

    /// Patterns of a domain by creators with at least that reputation: of each the newest three, the best reputation first.
    #[handle_result]
    pub fn find_patterns(
        &self,
        domain: String,
        min_reputation: u16,
        from_index: u32,
        limit: u32,
    ) -> Result<Vec<FoundView>, Error> {
        if limit > MAX_LIMIT || from_index.saturating_add(limit) > MAX_FOUND {
            return Err(Error::Field("limit is at most 50, and from_index + limit at most 500"));
        }
        let (mut skip, mut left) = (usize::try_from(from_index).unwrap_or(0), usize::try_from(limit).unwrap_or(0));
        let mut found = Vec::with_capacity(left);
        for slot in self.index.creators(&domain, min_reputation) {
            if left == 0 {
                break;
            }
            let Some(creator) = self.creators.get(&slot.creator) else {
                continue;
            };
            if creator.score < min_reputation {
                continue;
            }
            let skipped = skip.min(slot.newest.len());
            skip -= skipped;
            for id in slot.newest.iter().skip(skipped).take(left) {
                if let Some(pattern) = self.get_pattern(*id) {
                    found.push(FoundView { pattern, score: creator.score, score_at: U64(creator.score_at) });
                }
            }
            left -= left.min(slot.newest.len() - skipped);
        }
        by_score(&mut found);
        Ok(found)
    }

    /// The patterns that changed from a number on, each where it changed last.
    pub fn changes(&self, from_seq: u32, limit: u32) -> ChangesView {
        let (mut items, mut next_seq) = (Vec::new(), from_seq.min(self.next_seq));
        let wanted = usize::try_from(limit.min(MAX_LIMIT)).unwrap_or(0);
        while let (Some(seq), true) = (self.seqs.first(next_seq), items.len() < wanted) {
            next_seq = seq.saturating_add(1);
            let pattern = self.changed.get(&seq).and_then(|id| self.get_pattern(id));
            items.extend(pattern.map(|pattern| ChangeView { seq, pattern }));
        }
        if items.len() < wanted {
            next_seq = self.next_seq;
        }
        ChangesView { items, next_seq }
    }

    /// The uses of a pattern by an account.
    pub fn receipt(&self, id: u64, account: AccountId) -> Option<ReceiptView> {
        self.receipts.get(&(id, account)).map(|known| known.view())
    }

    /// What an account contributed to a model.
    pub fn fl_contribution(&self, account: AccountId, model: String) -> Option<ContributionView> {
        self.contributions.get(&(account, model)).map(|known| ContributionView {
            count: known.count,
            gradient_hash: known.gradient_hash,
            last_at: U64(known.last_at),
        })
    }

    /// How the contract stands.
    pub fn info(&self) -> Info {
        let staged = self.governance.staged.as_ref();
        Info {
            instance: U64(self.instance),
            state_version: self.state_version,
            seq: self.next_seq,
            next_id: self.next_id,
            owner: self.governance.owner.clone(),
            reputation: self.reputation.clone(),
            paused: self.governance.paused(),
            paused_since: self.governance.paused_at.map(U64),
            fee_bps: self.fee.now(),
            pending_fee: self.fee.pending().map(|(bps, from)| PendingFee { bps, from: U64(from) }),
            staged: staged.map(|staged| staged.hash),
            staged_from: staged.map(|staged| U64(staged.from)),
            pending_ratings: self.pending_ratings,
            ledger: self.ledger.clone(),
            prices: Prices {
                pattern: U128(prices::PATTERN),
                deposit: U128(prices::DEPOSIT),
                receipt: U128(prices::RECEIPT),
                dropped: U128(prices::DROPPED),
                contribution: U128(prices::CONTRIBUTION),
            },
        }
    }
}

/// The best first, equals as they came: by insertion, since they are 50 at most, and come almost in order.
fn by_score(found: &mut [FoundView]) {
    for end in 1..found.len() {
        let mut place = end;
        while place > 0 && found[place - 1].score < found[place].score {
            found.swap(place - 1, place);
            place -= 1;
        }
    }
}

//! What the registry keeps, and what it shows of it.

use mycel_common::Hash;
use near_sdk::json_types::{U128, U64};
use near_sdk::{near, AccountId};

/// A pattern.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Who registered it, and is paid.
    pub creator: AccountId,
    /// Of the manifest block.
    pub hash: Hash,
    /// The same as a CID.
    pub cid: String,
    /// Under which it is found.
    pub domain: String,
    /// In yoctoNEAR.
    pub price: u128,
    /// 1, 2, …: with each other manifest, one more.
    pub version: u32,
    /// In nanoseconds since 1970, as all times.
    pub registered_at: u64,
    /// When anything of it changed last.
    pub updated_at: u64,
    /// From when on nobody can use it.
    pub retired_at: Option<u64>,
    /// What is held until 30 days after that; 0 once it was given back.
    pub deposit: u128,
    /// By all.
    pub uses: u64,
    /// By all.
    pub ratings: u64,
    /// Of its last change.
    pub seq: u32,
    /// The next older one of the creator in the domain that is not retired.
    pub older: Option<u64>,
    /// The next newer one.
    pub newer: Option<u64>,
}

/// What somebody did with a pattern.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receipt {
    /// All of it.
    Full(Uses),
    /// What stays once the rest was dropped, so that no use is sold twice under one number, and none is rated twice.
    Dropped {
        /// How often it was used.
        uses: u32,
        /// How many of them were rated.
        rated: u32,
    },
}

/// The uses of a pattern by one account.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uses {
    /// How many.
    pub count: u32,
    /// How many of them were rated.
    pub rated: u32,
    /// Is a rating under way?
    pub pending: bool,
    /// Of the last use.
    pub hash: Hash,
    /// Of the last use.
    pub version: u32,
    /// All prices since it was dropped last, in yoctoNEAR.
    pub paid: u128,
    /// The fees of the uses that are not rated, of each as far as they weigh, in yoctoNEAR.
    pub unrated_fees: u128,
    /// Of the last use.
    pub last_at: u64,
}

/// A creator, and the mirror of its reputation.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creator {
    /// 0 to 1000, as of `score_at`.
    pub score: u16,
    /// Of the reputation that it mirrors; 0: there is none yet.
    pub version: u64,
    /// When it was so.
    pub score_at: u64,
    /// Was the score in the other contract paid for?
    pub slot_paid: bool,
    /// Patterns registered, retired ones too.
    pub patterns: u32,
    /// In which it has patterns that are not retired.
    pub domains: Vec<String>,
}

/// Of whom nothing is known.
pub const PRIOR_SCORE: u16 = 500;

impl Creator {
    /// Who registers a first pattern.
    pub fn new(now: u64) -> Self {
        Self { score: PRIOR_SCORE, version: 0, score_at: now, slot_paid: false, patterns: 0, domains: Vec::new() }
    }
}

/// What somebody contributed to a model.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// How often.
    pub count: u32,
    /// Of the last masked upload.
    pub gradient_hash: Hash,
    /// Of the last one.
    pub last_at: u64,
}

// --- as JSON -------------------------------------------------------------------------------------------------------------------

/// A pattern as it is shown.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternView {
    /// Its number.
    pub id: u64,
    /// See `Pattern`.
    pub creator: AccountId,
    /// See `Pattern`.
    pub pattern_hash: Hash,
    /// See `Pattern`.
    pub metadata_cid: String,
    /// See `Pattern`.
    pub domain: String,
    /// In yoctoNEAR.
    pub price_per_use: U128,
    /// See `Pattern`.
    pub version: u32,
    /// See `Pattern`.
    pub registered_at: U64,
    /// See `Pattern`.
    pub updated_at: U64,
    /// See `Pattern`.
    pub retired_at: Option<U64>,
    /// See `Pattern`.
    pub uses: u64,
    /// See `Pattern`.
    pub ratings: u64,
    /// See `Pattern`.
    pub seq: u32,
}

impl Pattern {
    /// As it is shown.
    pub fn view(&self, id: u64) -> PatternView {
        PatternView {
            id,
            creator: self.creator.clone(),
            pattern_hash: self.hash,
            metadata_cid: self.cid.clone(),
            domain: self.domain.clone(),
            price_per_use: U128(self.price),
            version: self.version,
            registered_at: U64(self.registered_at),
            updated_at: U64(self.updated_at),
            retired_at: self.retired_at.map(U64),
            uses: self.uses,
            ratings: self.ratings,
            seq: self.seq,
        }
    }
}

/// A pattern that was found, with the mirrored reputation of its creator.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundView {
    /// The pattern.
    #[serde(flatten)]
    pub pattern: PatternView,
    /// 0 to 1000.
    pub score: u16,
    /// As of then.
    pub score_at: U64,
}

/// A change.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeView {
    /// The number of the change.
    pub seq: u32,
    /// As it is now.
    pub pattern: PatternView,
}

/// Changes, and where to go on.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesView {
    /// By their numbers; a pattern stands only where it changed last.
    pub items: Vec<ChangeView>,
    /// To be asked from next.
    pub next_seq: u32,
}

/// The uses of a pattern by one account.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptView {
    /// How many.
    pub uses: u32,
    /// How many of them were rated.
    pub rated: u32,
    /// Of the last use; None once it was dropped.
    pub hash: Option<Hash>,
    /// Of the last use.
    pub version: Option<u32>,
    /// All prices since it was dropped last, in yoctoNEAR.
    pub paid: Option<U128>,
    /// Of the last use.
    pub last_at: Option<U64>,
}

impl Receipt {
    /// How often it was used, and how many of these uses were rated.
    pub fn counts(&self) -> (u32, u32) {
        match self {
            Self::Full(known) => (known.count, known.rated),
            Self::Dropped { uses, rated } => (*uses, *rated),
        }
    }

    /// As it is shown.
    pub fn view(&self) -> ReceiptView {
        let (uses, rated) = self.counts();
        let full = match self {
            Self::Full(known) => Some(known),
            Self::Dropped { .. } => None,
        };
        ReceiptView {
            uses,
            rated,
            hash: full.map(|known| known.hash),
            version: full.map(|known| known.version),
            paid: full.map(|known| U128(known.paid)),
            last_at: full.map(|known| U64(known.last_at)),
        }
    }
}

/// What a use costs.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteView {
    /// In yoctoNEAR, as all amounts.
    pub price: U128,
    /// Of the price.
    pub fee: U128,
    /// On top of the price, for the record of it.
    pub storage: U128,
    /// To be attached.
    pub total: U128,
    /// Of the manifest.
    pub hash: Hash,
    /// Of the pattern.
    pub version: u32,
    /// The number of the use.
    pub nth: u32,
    /// Can nothing be used now?
    pub paused: bool,
    /// Can it not be used any more?
    pub retired: bool,
}

/// What a use was.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedView {
    /// The number of the use.
    pub nth: u32,
    /// Of the pattern.
    pub version: u32,
    /// In yoctoNEAR, as all amounts.
    pub price: U128,
    /// Of the price.
    pub fee: U128,
    /// What was attached beyond the need.
    pub refunded: U128,
}

/// A contribution to a model.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContributionView {
    /// How often.
    pub count: u32,
    /// Of the last masked upload.
    pub gradient_hash: Hash,
    /// Of the last one.
    pub last_at: U64,
}

/// The weight of a rating.
#[near(serializers = [json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightView {
    /// 0 to 1000.
    pub weight: u16,
}

//! The owner: hands over in two steps, pauses, and puts in new code only two days after saying which.

use near_sdk::{env, near, AccountId};

use crate::{one_yocto, Error, Hash, DAY_NS};

/// Between saying which code comes and putting it in.
pub const UPGRADE_WAIT_NS: u64 = 2 * DAY_NS;
/// After so long a pause nothing is under way any more, whatever the books say: receipts take seconds.
pub const STILL_NS: u64 = 7 * DAY_NS;

/// Code that is to come, and from when on it may.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The sha2-256 of the wasm.
    pub hash: Hash,
    /// In nanoseconds since 1970.
    pub from: u64,
}

/// Who owns a contract, and what the owner has begun.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Governance {
    /// The owner.
    pub owner: AccountId,
    /// Who becomes the owner by accepting.
    pub proposed: Option<AccountId>,
    /// Since when the contract is paused, if it is; in nanoseconds since 1970.
    pub paused_at: Option<u64>,
    /// What is to come.
    pub staged: Option<Staged>,
}

/// The same in states of version 1.
#[near(serializers = [borsh])]
pub struct GovernanceBefore {
    owner: AccountId,
    proposed: Option<AccountId>,
    paused: bool,
    staged: Option<Staged>,
}

impl From<GovernanceBefore> for Governance {
    fn from(before: GovernanceBefore) -> Self {
        let GovernanceBefore { owner, proposed, paused, staged } = before;
        Self { owner, proposed, paused_at: paused.then(env::block_timestamp), staged }
    }
}

impl Governance {
    /// Of a new contract.
    pub fn new(owner: AccountId) -> Self {
        Self { owner, proposed: None, paused_at: None, staged: None }
    }

    /// Refuses everybody but the owner, with one yoctoNEAR.
    pub fn owner_only(&self) -> Result<(), Error> {
        one_yocto()?;
        if env::predecessor_account_id() == self.owner {
            Ok(())
        } else {
            Err(Error::NotAllowed("the owner"))
        }
    }

    /// Is it paused?
    pub fn paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Refuses a paused contract.
    pub fn running(&self) -> Result<(), Error> {
        if self.paused() {
            Err(Error::Paused)
        } else {
            Ok(())
        }
    }

    /// Stops, or goes on.
    pub fn pause(&mut self, paused: bool) -> Result<(), Error> {
        self.owner_only()?;
        self.paused_at = paused.then(|| self.paused_at.unwrap_or_else(env::block_timestamp));
        Ok(())
    }

    /// Says who may become the owner.
    pub fn propose(&mut self, account: AccountId) -> Result<(), Error> {
        self.owner_only()?;
        self.proposed = Some(account);
        Ok(())
    }

    /// The proposed account becomes the owner.
    pub fn accept(&mut self) -> Result<(), Error> {
        one_yocto()?;
        let caller = env::predecessor_account_id();
        if self.proposed.as_ref() != Some(&caller) {
            return Err(Error::NotAllowed("the proposed owner"));
        }
        self.proposed = None;
        self.owner = caller;
        Ok(())
    }

    /// Says which code is to come; returns from when on, in nanoseconds since 1970.
    pub fn stage(&mut self, hash: Hash) -> Result<u64, Error> {
        self.owner_only()?;
        let from = env::block_timestamp() + UPGRADE_WAIT_NS;
        self.staged = Some(Staged { hash, from });
        Ok(from)
    }

    /// Takes the code that was staged, if it is that, its time has come, and the contract is paused with nothing under way.
    ///
    /// Were a callback ever to fail, what it was to book would be under way for ever, and no code could come that mends it: a long
    /// pause stands for the books.
    pub fn unstage(&mut self, code: &[u8], under_way: bool) -> Result<(), Error> {
        self.owner_only()?;
        let since = self.paused_at.ok_or(Error::NotAtRest)?;
        if under_way && env::block_timestamp() < since + STILL_NS {
            return Err(Error::NotAtRest);
        }
        let staged = self.staged.take().ok_or(Error::Unknown("staged code"))?;
        if env::block_timestamp() < staged.from {
            return Err(Error::Early(staged.from));
        }
        if env::sha256_array(code) == staged.hash.0 {
            Ok(())
        } else {
            Err(Error::Changed)
        }
    }
}

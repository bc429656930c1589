//! What the owner does, and how the code is replaced.

use mycel_common::{Error, Hash};
use near_sdk::json_types::U64;
use near_sdk::{env, near, AccountId, Gas, NearToken, Promise};

use crate::before::Before;
use crate::{Event, Reputation, ReputationExt, STATE_VERSION};

/// For `migrate`, after the new code is in.
const MIGRATE_GAS: Gas = Gas::from_tgas(10);

#[near]
impl Reputation {
    /// Stops counting.
    #[payable]
    #[handle_result]
    pub fn pause(&mut self) -> Result<(), Error> {
        self.governance.pause(true)?;
        Event::Paused { paused: true }.emit();
        Ok(())
    }

    /// Lets it go on.
    #[payable]
    #[handle_result]
    pub fn resume(&mut self) -> Result<(), Error> {
        self.governance.pause(false)?;
        Event::Paused { paused: false }.emit();
        Ok(())
    }

    /// Says who may become the owner.
    #[payable]
    #[handle_result]
    pub fn propose_owner(&mut self, account: AccountId) -> Result<(), Error> {
        self.governance.propose(account.clone())?;
        Event::OwnerProposed { account }.emit();
        Ok(())
    }

    /// The proposed account becomes the owner.
    #[payable]
    #[handle_result]
    pub fn accept_owner(&mut self) -> Result<(), Error> {
        self.governance.accept()?;
        Event::OwnerChanged { account: self.governance.owner.clone() }.emit();
        Ok(())
    }

    /// Says which code comes, at the earliest in 48 hours; returns from when on.
    #[payable]
    #[handle_result]
    pub fn stage_upgrade(&mut self, code_hash: Hash) -> Result<U64, Error> {
        let from = U64(self.governance.stage(code_hash)?);
        Event::UpgradeStaged { code_hash, from }.emit();
        Ok(from)
    }

    /// Puts in the code that was staged, which is the whole input of the call, and migrates, or neither.
    #[payable]
    #[handle_result]
    pub fn upgrade(&mut self) -> Result<Promise, Error> {
        let code = env::input().unwrap_or_default();
        self.governance.unstage(&code, false)?;
        Ok(Promise::new(env::current_account_id())
            .deploy_contract(code)
            .function_call("migrate", Vec::new(), NearToken::from_yoctonear(0), MIGRATE_GAS)
            .as_return())
    }

    /// Brings an older state to the version of this code; again, it does nothing.
    #[private]
    #[init(ignore_state)]
    pub fn migrate() -> Self {
        let (version, bytes) = mycel_common::stored_state();
        match version {
            STATE_VERSION => mycel_common::beginning(&bytes),
            1 => {
                Event::Migrated { state_version: STATE_VERSION }.emit();
                mycel_common::beginning::<Before>(&bytes).into()
            }
            _ => env::panic_str("ERR_STATE: the state is of a later version than this code"),
        }
    }
}

//! Whose money lies here, and how it leaves: what cannot be paid out can be claimed.

use mycel_common::Error;
use near_sdk::json_types::U128;
use near_sdk::{env, near, require, AccountId, Gas, NearToken, Promise};

use crate::events::Event;
use crate::{Registry, RegistryExt};

/// For `on_transfer`; at least twice what it was measured to take (docs/contracts.md).
pub const ON_TRANSFER_GAS: Gas = Gas::from_tgas(3);

/// Whose money it is, in yoctoNEAR.
#[near(serializers = [borsh, json])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// With which the contract began: its code and what it needs itself.
    pub base: U128,
    /// Paid for what is stored.
    pub storage: U128,
    /// Held until patterns are retired.
    pub deposits: U128,
    /// The owner's.
    pub fees: U128,
    /// Of those to whom it could not be paid.
    pub claimable: U128,
    /// Sent, and not known to have arrived.
    pub in_flight: U128,
}

/// To whom money belongs that does not arrive.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// To the account, which can claim it.
    Account,
    /// To the fees.
    Fees,
}

#[near]
impl Registry {
    /// Pays out what could not be paid before; returns how much is on its way.
    #[handle_result]
    pub fn claim(&mut self) -> Result<U128, Error> {
        let caller = env::predecessor_account_id();
        let amount = self.claimable.take(&caller).ok_or(Error::Unknown("claim"))?;
        self.ledger.claimable.0 -= amount;
        self.pay(&caller, amount, Back::Account);
        Event::Claimed { account: caller, amount: U128(amount) }.emit();
        Ok(U128(amount))
    }

    /// Pays out fees.
    #[payable]
    #[handle_result]
    pub fn withdraw_fees(&mut self, amount: U128, to: AccountId) -> Result<U128, Error> {
        self.governance.owner_only()?;
        self.ledger.fees.0 =
            self.ledger.fees.0.checked_sub(amount.0).ok_or(Error::Field("there are less fees than that"))?;
        self.pay(&to, amount.0, Back::Fees);
        Event::FeesWithdrawn { to, amount }.emit();
        Ok(amount)
    }

    /// After a transfer. It never panics, whatever happened: what has not arrived stays its owner's.
    #[private]
    pub fn on_transfer(
        &mut self,
        #[serializer(borsh)] account: AccountId,
        #[serializer(borsh)] amount: U128,
        #[serializer(borsh)] back: Back,
    ) {
        self.ledger.in_flight.0 = self.ledger.in_flight.0.saturating_sub(amount.0);
        if env::promise_result_checked(0, 0).is_ok() {
            return;
        }
        match back {
            Back::Account => {
                let before = self.claimable.get(&account).unwrap_or(0);
                self.claimable.set(&account, &(before + amount.0));
                self.ledger.claimable.0 += amount.0;
            }
            Back::Fees => self.ledger.fees.0 += amount.0,
        }
        Event::TransferFailed { account, amount }.emit();
    }

    /// What an account can claim, in yoctoNEAR.
    pub fn claimable(&self, account: AccountId) -> U128 {
        U128(self.claimable.get(&account).unwrap_or(0))
    }
}

impl Registry {
    /// Sends money. Whether it arrives decides nothing else.
    pub(crate) fn pay(&mut self, to: &AccountId, amount: u128, back: Back) {
        if amount == 0 {
            return;
        }
        self.ledger.in_flight.0 += amount;
        let callback = Self::ext(env::current_account_id()).with_static_gas(ON_TRANSFER_GAS);
        Promise::new(to.clone())
            .transfer(NearToken::from_yoctonear(amount))
            .then(callback.on_transfer(to.clone(), U128(amount), back))
            .detach();
    }

    /// What is attached beyond ``needed``. Refuses less than that.
    pub(crate) fn beyond(needed: u128) -> Result<u128, Error> {
        env::attached_deposit().as_yoctonear().checked_sub(needed).ok_or(Error::Deposit(needed))
    }

    /// The fee of a price.
    pub(crate) fn fee_of(&self, price: u128) -> u128 {
        let bps = u128::from(self.fee.now());
        // the whole and the rest apart, as price · bps may not fit
        price / 10_000 * bps + price % 10_000 * bps / 10_000
    }
}

/// The owner's share of a price, in hundredths of a percent.
#[near(serializers = [borsh])]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fee {
    bps: u16,
    next: Option<(u16, u64)>, // in force from then on
}

/// At most.
pub const MAX_FEE_BPS: u16 = 1_000;
/// Until a new rate is in force.
pub const FEE_WAIT_NS: u64 = 7 * mycel_common::DAY_NS;

impl Fee {
    /// Of a new contract.
    pub fn new(bps: u16) -> Self {
        require!(bps <= MAX_FEE_BPS, "ERR_FIELD: fee_bps is at most 1000");
        Self { bps, next: None }
    }

    /// In force.
    pub fn now(&self) -> u16 {
        match self.next {
            Some((bps, from)) if env::block_timestamp() >= from => bps,
            _ => self.bps,
        }
    }

    /// To come, and from when on.
    pub fn pending(&self) -> Option<(u16, u64)> {
        self.next.filter(|(_, from)| env::block_timestamp() < *from)
    }

    /// Sets another one; returns from when on it is in force.
    pub fn change(&mut self, bps: u16) -> Result<u64, Error> {
        if bps > MAX_FEE_BPS {
            return Err(Error::Field("fee_bps is at most 1000"));
        }
        let from = env::block_timestamp() + FEE_WAIT_NS;
        *self = Self { bps: self.now(), next: Some((bps, from)) };
        Ok(from)
    }
}

//! Enums that list themselves.
//!
//! What must hold for every variant can then be asked of every variant: no list by hand misses one. It
//! knows nothing of what a variant means.

/// Declares an enum, and `ALL` of it. A payload is its least value there.
macro_rules! listed {
    (
        $(#[$about:meta])*
        pub enum $name:ident { $($(#[$doc:meta])* $variant:ident $(($payload:ty))?,)* }
    ) => {
        $(#[$about])*
        pub enum $name { $($(#[$doc])* $variant $(($payload))?,)* }

        impl $name {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant $((<$payload>::MIN))?),*];
        }
    };
}

pub(super) use listed;

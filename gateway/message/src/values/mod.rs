//! Values that check themselves.

//! Values that check themselves: check digits, plates, masses, characters, names, dates. Vectors stand with
//! their source.

pub mod awb;
pub mod calendar;
pub mod imo;
pub mod iso6346;
pub mod mass;
pub mod mrz;
pub mod plate;
pub mod text;
pub mod transliteration;
pub mod vin;

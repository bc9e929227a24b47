//! The numbers that a file's words become. They are the same in every run and on every machine, and documented in the
//! help text, so that a program of the user's own can find what a replay has made.

use crest_proto::naming::name_id;

/// The upper half of the transfer ids of `namespace`: its 128-bit FNV-1a hash, folded (upper half XOR lower half).
pub(crate) fn namespace_bits(namespace: &str) -> u64 {
    let hash = name_id(namespace);
    let bits = (hash >> 64) as u64 ^ hash as u64;
    // With an upper half that is neither all zeros nor all ones, no row's number can make one of the two forbidden ids.
    if bits == 0 || bits == u64::MAX { 1 } else { bits }
}

/// The transfer id of the row with the number `row_id`: the namespace above, the row's number below. Two rows of one
/// namespace never share an id unless they share the number; rows of two namespaces never do unless the names' 64-bit
/// hashes are equal.
pub(crate) fn transfer_id(namespace_bits: u64, row_id: u64) -> u128 {
    u128::from(namespace_bits) << 64 | u128::from(row_id)
}

/// The code of a kind of transfer, or of a kind of account: 1 + its 128-bit FNV-1a hash modulo 65,535, so 1 to 65,535.
pub(crate) fn code_of(kind: &str) -> u16 {
    (1 + name_id(kind) % 65_535) as u16
}

/// What an account is a kind of: the part of its name before the first colon, or all of it (`house:cash` is a `house`).
pub(crate) fn account_kind(name: &str) -> &str {
    name.split_once(':').map_or(name, |(kind, _)| kind)
}

/// The namespace of a file that nobody named one for: its name without folders, `.gz` and `.csv`.
pub(crate) fn namespace_of(file: &std::path::Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".csv").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_numbers() {
        // FNV-1a of "abc" is the published a68d622cec8b5822 836dbc7977af7f3b.
        assert_eq!(namespace_bits("abc"), 0xa68d_622c_ec8b_5822 ^ 0x836d_bc79_77af_7f3b);
        assert_eq!(transfer_id(0xa68d, 7), 0xa68d_0000_0000_0000_0007);
        assert_eq!(u128::from(code_of("abc")), 1 + 0xa68d_622c_ec8b_5822_836d_bc79_77af_7f3b_u128 % 65_535);
        assert_eq!(account_kind("house:cash:till"), "house");
        assert_eq!(account_kind("house"), "house");
    }

    #[test]
    fn the_same_row_number_in_two_namespaces_is_two_transfers() {
        let (one, two) = (namespace_bits("berka-transactions"), namespace_bits("berka-standing-orders"));
        assert_ne!(transfer_id(one, 29_401), transfer_id(two, 29_401));
    }

    #[test]
    fn a_files_stem_is_its_namespace() {
        let check = |path: &str, stem| assert_eq!(namespace_of(path.as_ref()), stem);
        check("/data/berka.csv.gz", "berka");
        check("berka.csv", "berka");
        check("payments", "payments");
        check("payments.2026.csv", "payments.2026");
    }
}

//! Ids and names for new containers.

use base::ContainerId;

/// 64 hexadecimal digits, from the kernel's random numbers.
pub fn generate_id(random: [u8; 32]) -> ContainerId {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let hex: String =
        random.iter().flat_map(|b| [b >> 4, b & 15]).map(|n| char::from(DIGITS[usize::from(n)])).collect();
    match ContainerId::parse(&hex) {
        Ok(id) => id,
        Err(_) => unreachable!("64 hexadecimal digits are a container id"),
    }
}

/// An adjective and a noun of the sea; from the second try on with a digit.
pub fn generate_name(random: [u8; 4], attempt: u32) -> String {
    let pick =
        |words: &[&'static str], a: u8, b: u8| words[(usize::from(a) << 8 | usize::from(b)) % words.len()];
    let adjective = pick(ADJECTIVES, random[0], random[1]);
    let noun = pick(NOUNS, random[2], random[3]);
    match attempt {
        0 => format!("{adjective}_{noun}"),
        attempt => format!("{adjective}_{noun}{attempt}"),
    }
}

const ADJECTIVES: &[&str] = &[
    "able", "agile", "amber", "ample", "ardent", "azure", "blithe", "bold", "brave", "breezy", "bright",
    "brisk", "calm", "candid", "clear", "clever", "copper", "coral", "crisp", "daring", "deep", "deft",
    "dry", "eager", "early", "easy", "even", "fair", "fast", "fine", "firm", "fleet", "fond", "frank",
    "free", "fresh", "gentle", "glad", "golden", "grand", "hale", "handy", "hardy", "hazel", "honest",
    "humble", "ivory", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry", "mild",
    "misty", "neat", "nimble", "noble", "olive", "patient", "placid", "plain", "polar", "proud", "quick",
    "quiet", "rapid", "ready", "robust", "rosy", "rugged", "salty", "sandy", "scarlet", "serene", "sharp",
    "silent", "silver", "sleek", "smart", "smooth", "snug", "solid", "sound", "stable", "steady", "stout",
    "sturdy", "sunny", "supple", "swift", "tidy", "tranquil", "trim", "true", "upright", "velvet", "vivid",
    "warm", "windy", "wise", "witty",
];

const NOUNS: &[&str] = &[
    "albatross",
    "anchor",
    "barge",
    "barque",
    "bay",
    "beacon",
    "beam",
    "berth",
    "boom",
    "bow",
    "breaker",
    "brig",
    "bulwark",
    "buoy",
    "cable",
    "canoe",
    "cape",
    "capstan",
    "caravel",
    "clipper",
    "coast",
    "compass",
    "corvette",
    "cove",
    "crest",
    "current",
    "cutter",
    "deck",
    "dhow",
    "dinghy",
    "dock",
    "dolphin",
    "drifter",
    "ebb",
    "estuary",
    "ferry",
    "fjord",
    "fleet",
    "foam",
    "frigate",
    "galleon",
    "galley",
    "gull",
    "gunwale",
    "gust",
    "halyard",
    "harbor",
    "hatch",
    "haven",
    "hawser",
    "helm",
    "heron",
    "hull",
    "inlet",
    "island",
    "isthmus",
    "jetty",
    "jib",
    "junk",
    "kayak",
    "keel",
    "kelp",
    "ketch",
    "lagoon",
    "lantern",
    "ledge",
    "lighthouse",
    "log",
    "lugger",
    "mainsail",
    "mariner",
    "marlin",
    "mast",
    "mooring",
    "narwhal",
    "oar",
    "orca",
    "osprey",
    "outrigger",
    "packet",
    "pelican",
    "pier",
    "pilot",
    "pinnace",
    "plank",
    "porpoise",
    "port",
    "prow",
    "puffin",
    "pulley",
    "quay",
    "raft",
    "reef",
    "rigging",
    "rudder",
    "schooner",
    "sextant",
    "shoal",
    "skiff",
    "sloop",
    "spar",
    "spinnaker",
    "spray",
    "starboard",
    "stern",
    "strait",
    "strake",
    "surf",
    "swell",
    "tender",
    "tern",
    "tide",
    "tiller",
    "trawler",
    "tug",
    "walrus",
    "wave",
    "wharf",
    "windlass",
    "yacht",
    "yawl",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_digits() {
        assert_eq!(generate_id([0xa5; 32]).as_str(), "a5".repeat(32));
    }

    #[test]
    fn names_are_names() {
        for random in [[0; 4], [255; 4], [1, 2, 3, 4]] {
            assert!(super::super::validate_name(&generate_name(random, 3)).is_ok());
        }
        assert_eq!(generate_name([0; 4], 0), "able_albatross");
    }
}

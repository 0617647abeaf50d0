//! Three-valued logic: what is known of a policy, and what is not.

/// Whether something holds, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It does not follow from what was read. The text says why.
    Unknown(String),
}

impl Truth {
    /// Whether all hold: one that does not hold outweighs those that are unknown.
    pub(super) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::True;
        for part in parts {
            match part {
                Self::False => return Self::False,
                Self::Unknown(_) if result == Self::True => result = part,
                Self::Unknown(_) | Self::True => {}
            }
        }
        result
    }

    /// Whether any holds: one that holds outweighs those that are unknown.
    pub(super) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut result = Self::False;
        for part in parts {
            match part {
                Self::True => return Self::True,
                Self::Unknown(_) if result == Self::False => result = part,
                Self::Unknown(_) | Self::False => {}
            }
        }
        result
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown(_) => self,
        }
    }
}

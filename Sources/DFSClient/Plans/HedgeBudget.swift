/// Bounds the extra load of hedged reads: one in twenty may be sent twice, with a small reserve for the first
/// ones.
struct HedgeBudget: Sendable {
  /// Reads that earn one hedge.
  static let price = 20
  static let most = 8 * price
  private var credit = Self.most

  mutating func readStarted() { credit = min(Self.most, credit + 1) }

  /// Takes one hedge; false when the credit is used up.
  mutating func take() -> Bool {
    guard credit >= Self.price else { return false }
    credit -= Self.price
    return true
  }
}

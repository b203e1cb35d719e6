extension ClusterStatus {
  /// How safe the content of the cluster is at one moment, worst last.
  public enum Safety: String, Sendable, Comparable, CaseIterable {
    /// Every chunk has its copies, and nobody is needed.
    case safe
    /// Every chunk has its copies, but something waits for a person.
    case attention
    /// Some chunks have fewer copies in contact than wanted, or some writes fail.
    case atRisk = "at_risk"
    /// Some chunks cannot be read now.
    case unreadable

    public static func < (left: Self, right: Self) -> Bool {
      let order = allCases
      return order.firstIndex(of: left) ?? 0 < order.firstIndex(of: right) ?? 0
    }
  }

  /// The answer to "is everything safe?".
  public var safety: Safety {
    if chunksUnreadable > 0 || groupsUnreadable > 0 || (check?.missingChunks ?? 0) > 0 { return .unreadable }
    if chunksOnOneCopy > 0 || chunksOnTwoCopies > 0 || chunksAtRisk > 0 || groupsUnwritable > 0 {
      return .atRisk
    }
    return actions.isEmpty ? .safe : .attention
  }
}

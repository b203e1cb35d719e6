package import DFSCore

/// What the last check and the last search for strays found, for status, `admin fsck` and repair. Of this
/// coordinator's life.
package struct CheckBook: Sendable {
  private var check: CheckResult?
  private var search = StrayWalk.Result()

  package init() {}

  /// The last check that came to its end, with the strays of the last search.
  package var last: CheckResult? {
    var result = check
    result?.strays = search.strays
    result?.straysRemoved = search.removed
    return result
  }

  /// Nodes that have living chunks of the group without being members of it, as of the last search: where
  /// repair may find what no member has.
  package func strayHolders(of group: GroupID) -> Set<NodeID> { search.holders[group] ?? [] }

  package mutating func ended(_ check: CheckResult) { self.check = check }
  package mutating func ended(_ search: StrayWalk.Result) { self.search = search }
}

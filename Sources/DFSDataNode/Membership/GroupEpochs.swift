import DFSCore

/// The highest epoch that this node knows of each of its groups. A transfer at an older one is refused: its
/// sender works with members that are no longer the group's.
struct GroupEpochs {
  private var highest: [GroupID: GroupEpoch]

  /// Starts with what was persisted.
  init(_ persisted: [GroupID: GroupEpoch] = [:]) { highest = persisted }

  /// Those of `news` that are higher than what is known: they must be durable before `raise` is called.
  func rising(_ news: some Sequence<(GroupID, GroupEpoch)>) -> [GroupID: GroupEpoch] {
    var rising: [GroupID: GroupEpoch] = [:]
    for (group, epoch) in news where epoch > max(highest[group] ?? .zero, rising[group] ?? .zero) {
      rising[group] = epoch
    }
    return rising
  }

  /// Takes epochs that are durable. One that is not higher changes nothing.
  mutating func raise(_ durable: [GroupID: GroupEpoch]) {
    for (group, epoch) in durable where epoch > highest[group] ?? .zero { highest[group] = epoch }
  }

  /// Throws `.stale`, with the known epoch in its metadata, for a sender whose view is old.
  func admit(_ group: GroupID, at epoch: GroupEpoch) throws {
    guard let known = highest[group], epoch < known else { return }
    throw DFSError(
      .stale, "group \(group) is at epoch \(known), the transfer at \(epoch); ask the coordinator again",
      metadata: ["group": group.description, "group_epoch": known.description])
  }

  subscript(group: GroupID) -> GroupEpoch? { highest[group] }
}

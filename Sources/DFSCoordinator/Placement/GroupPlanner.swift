package import DFSCore
package import DFSMetadata

/// Plans the slot table of one policy: which groups to open, who fills vacant slots, what to move to a node
/// that joined. A plan is a list of changes that the metadata makes all or none, each fenced by an epoch.
///
/// Rules: about 100 slots a node, weighted by capacity; at least 64 groups; the members of a group are
/// different nodes, in different zones wherever the cluster has at least R zones (else as evenly as can be);
/// a slot without an eligible node stays vacant. A slot moves to another node only while its group has no
/// chunks: moving a full one is repair's work.
package struct GroupPlanner: Sendable {
  package struct Candidate: Sendable {
    package var node: NodeID
    package var zone: Zone
    package var capacity: ByteCount

    package init(node: NodeID, zone: Zone, capacity: ByteCount) {
      self.node = node
      self.zone = zone
      self.capacity = capacity
    }
  }

  package struct Rules: Sendable {
    package var slotsPerNode = 100
    package var fewestGroups = 64
    package var mostGroups = 100_000

    package init() {}
  }

  package let rules: Rules
  package let policy: PlacementPolicy
  /// Who may be given slots, in order of id.
  package let candidates: [Candidate]
  /// Zones of every node of the cluster by id, eligible or not.
  package let zones: [NodeID: Zone]
  /// Groups without a chunk and without an allocation.
  package let isEmpty: @Sendable (GroupID) -> Bool

  package init(
    policy: PlacementPolicy, candidates: [Candidate], zones: [NodeID: Zone], rules: Rules = Rules(),
    isEmpty: @escaping @Sendable (GroupID) -> Bool
  ) {
    self.policy = policy
    self.candidates = candidates.sorted { $0.node < $1.node }
    self.zones = zones
    self.rules = rules
    self.isEmpty = isEmpty
  }

  private var replicas: Int { Int(policy.replicas) }
  /// Where it holds, two slots of a group are never in one zone.
  private var isStrict: Bool { Set(zones.values).count >= replicas }

  /// Throws `.failedPrecondition` with advice where the cluster has fewer nodes than a write needs.
  package func plan(
    _ table: SlotTable, using random: inout some RandomNumberGenerator
  ) throws -> [ChangeGroups.Change] {
    let existing = table.groups(replicas: policy.replicas).compactMap { table[$0] }
    guard candidates.count >= policy.writeQuorum else {
      guard existing.isEmpty else { return [] }
      throw tooFewNodes()
    }
    var draft = Draft(planner: self, groups: existing)
    draft.fillVacant(using: &random)
    draft.levelEmptyGroups(using: &random)
    let wanted = min(
      max(rules.fewestGroups, rules.slotsPerNode * candidates.count / replicas),
      max(0, rules.mostGroups - table.count) + existing.count)
    draft.open(upTo: wanted, firstID: table.nextID, using: &random)
    return draft.changes
  }

  private func tooFewNodes() -> DFSError {
    let (have, need) = (candidates.count, policy.writeQuorum)
    let nodes = have == 1 ? "1 datanode is" : "\(have) datanodes are"
    let advice =
      have == 0
      ? "start datanodes" : "start \(need - have) more, or ask for fewer replicas (at most \(2 * have - 1))"
    return DFSError(
      .failedPrecondition,
      "\(replicas) replicas need at least \(need) datanodes and \(nodes) ready; \(advice)",
      metadata: ["nodes": "\(have)", "needed": "\(need)", "refusal": "too_few_nodes"])
  }
}

extension GroupPlanner {
  /// The table while it is planned.
  private struct Draft {
    struct Row {
      var id: GroupID
      var expected: GroupEpoch?
      var slots: [GroupSlot]
      var isChanged: Bool
    }

    let planner: GroupPlanner
    let isStrict: Bool
    /// A node's share of the slots, as a weight.
    let weights: [Double]
    let places: [NodeID: Int]
    var rows: [Row]
    var loads: [Int]

    init(planner: GroupPlanner, groups: [PlacementGroup]) {
      self.planner = planner
      isStrict = planner.isStrict
      let total = planner.candidates.reduce(0.0) { $0 + Double(max(1, $1.capacity.rawValue)) }
      let count = Double(planner.candidates.count)
      weights = planner.candidates.map { Double(max(1, $0.capacity.rawValue)) * count / total }
      places = Dictionary(
        planner.candidates.enumerated().map { ($1.node, $0) }, uniquingKeysWith: { first, _ in first })
      rows = groups.map { Row(id: $0.id, expected: $0.epoch, slots: $0.slots, isChanged: false) }
      loads = [Int](repeating: 0, count: planner.candidates.count)
      for node in groups.flatMap(\.members) { if let place = places[node] { loads[place] += 1 } }
    }

    var changes: [ChangeGroups.Change] {
      rows.filter(\.isChanged).map {
        ChangeGroups.Change(id: $0.id, expected: $0.expected, policy: planner.policy, slots: $0.slots)
      }
    }

    /// The node with the smallest load for its weight that may join `members`; `nil` where nobody may.
    func choose(
      joining members: [NodeID], below limit: Double = .infinity,
      using random: inout some RandomNumberGenerator
    ) -> Int? {
      let taken = members.compactMap { planner.zones[$0] }
      var best: (place: Int, crowd: Int, load: Double)?
      var ties = 0
      for (place, candidate) in planner.candidates.enumerated() {
        let crowd = taken.count { $0 == candidate.zone }
        guard !members.contains(candidate.node), !isStrict || crowd == 0 else { continue }
        let load = (Double(loads[place]) + 1) / weights[place]
        guard load < limit else { continue }
        if let found = best {
          guard (crowd, load) <= (found.crowd, found.load) else { continue }
          ties = (crowd, load) == (found.crowd, found.load) ? ties + 1 : 1
          guard ties == 1 || Int.random(in: 0..<ties, using: &random) == 0 else { continue }
        } else {
          ties = 1
        }
        best = (place, crowd, load)
      }
      return best?.place
    }

    mutating func fillVacant(using random: inout some RandomNumberGenerator) {
      for index in rows.indices where rows[index].slots.contains(where: { $0.node == nil }) {
        let state: SlotState = planner.isEmpty(rows[index].id) ? .full : .filling
        for slot in rows[index].slots.indices where rows[index].slots[slot].node == nil {
          guard let place = choose(joining: rows[index].slots.compactMap(\.node), using: &random) else {
            break
          }
          rows[index].slots[slot] = GroupSlot(node: planner.candidates[place].node, state: state)
          rows[index].isChanged = true
          loads[place] += 1
        }
      }
    }

    /// Moves slots of empty groups from the most to the least loaded nodes until nobody gains by it.
    mutating func levelEmptyGroups(using random: inout some RandomNumberGenerator) {
      guard spread > 1 else { return }
      for index in rows.indices.shuffled(using: &random) where planner.isEmpty(rows[index].id) {
        let members = rows[index].slots.compactMap(\.node)
        let movable = rows[index].slots.indices.compactMap { slot -> (slot: Int, place: Int, load: Double)? in
          guard let node = rows[index].slots[slot].node, let place = places[node] else { return nil }
          return (slot, place, Double(loads[place]) / weights[place])
        }
        guard let giver = movable.max(by: { $0.load < $1.load }) else { continue }
        let others = members.filter { $0 != planner.candidates[giver.place].node }
        guard let taker = choose(joining: others, below: giver.load, using: &random), taker != giver.place
        else { continue }
        rows[index].slots[giver.slot] = GroupSlot(node: planner.candidates[taker].node, state: .full)
        rows[index].isChanged = true
        loads[giver.place] -= 1
        loads[taker] += 1
      }
    }

    /// The distance between the most and the least loaded node, in slots of a node of mean capacity.
    private var spread: Double {
      let relative = zip(loads, weights).map { Double($0) / $1 }
      return (relative.max() ?? 0) - (relative.min() ?? 0)
    }

    mutating func open(
      upTo wanted: Int, firstID: GroupID, using random: inout some RandomNumberGenerator
    ) {
      var id = firstID
      while rows.count < wanted {
        var slots: [GroupSlot] = []
        while slots.count < planner.replicas {
          guard let place = choose(joining: slots.compactMap(\.node), using: &random) else { break }
          slots.append(GroupSlot(node: planner.candidates[place].node, state: .full))
          loads[place] += 1
        }
        guard slots.count >= planner.policy.writeQuorum else { return }
        slots += [GroupSlot](repeating: .vacant, count: planner.replicas - slots.count)
        rows.append(Row(id: id, expected: nil, slots: slots, isChanged: true))
        id = GroupID(rawValue: id.rawValue + 1)
      }
    }
  }
}

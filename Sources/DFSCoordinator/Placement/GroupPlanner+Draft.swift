import DFSCore
import DFSMetadata

extension GroupPlanner {
  /// The table while it is planned.
  struct Draft {
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
    /// Zones as numbers, which compare quickly: of every node, and of the candidates by place.
    private let zones: [NodeID: Int]
    private let zoneOfPlace: [Int]
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
      var numbers: [Zone: Int] = [:]
      func number(_ zone: Zone) -> Int {
        let number = numbers[zone] ?? numbers.count
        numbers[zone] = number
        return number
      }
      zones = planner.zones.mapValues(number)
      zoneOfPlace = planner.candidates.map { number($0.zone) }
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
      joining members: [NodeID], below limit: Double = .infinity, where isAble: (Int) -> Bool = { _ in true },
      using random: inout some RandomNumberGenerator
    ) -> Int? {
      let (taken, own) = (members.compactMap { zones[$0] }, members.compactMap { places[$0] })
      var best: (place: Int, crowd: Int, load: Double)?
      var ties = 0
      for place in loads.indices {
        let load = (Double(loads[place]) + 1) / weights[place]
        // A thousand candidates for each of a hundred slots: most are passed over by their load alone.
        if load >= limit { continue }
        if let best, best.crowd == 0, load > best.load { continue }
        let zone = zoneOfPlace[place]
        let crowd = taken.count { $0 == zone }
        guard !own.contains(place), !isStrict || crowd == 0, isAble(place) else { continue }
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

    /// Gives the slots of nodes that are out or removed to others, or leaves them vacant.
    mutating func replaceGone(using random: inout some RandomNumberGenerator) {
      for index in rows.indices {
        for slot in rows[index].slots.indices where isToReplace(slot, in: rows[index]) {
          replace(slot, of: index, using: &random)
        }
      }
    }

    private func isToReplace(_ slot: Int, in row: Row) -> Bool {
      guard let node = row.slots[slot].node, let leaving = planner.leaving[node] else { return false }
      switch leaving {
      case .draining: return false
      case .removed: return true
      case .out:
        return planner.isEmpty(row.id)
          || row.slots.indices.contains {
            $0 != slot && row.slots[$0].state == .full && !isGone(row.slots[$0])
          }
      }
    }

    private func isGone(_ slot: GroupSlot) -> Bool {
      switch slot.node.flatMap({ planner.leaving[$0] }) {
      case .out, .removed: true
      case .draining, nil: false
      }
    }

    /// Moves slots of nodes that drain, a bounded number of groups with chunks at a time.
    mutating func moveDraining(using random: inout some RandomNumberGenerator) {
      guard planner.leaving.values.contains(.draining) else { return }
      var moving = rows.count { row in
        row.slots.contains { $0.state == .filling } && !planner.isEmpty(row.id)
      }
      for index in rows.indices.shuffled(using: &random) {
        let row = rows[index]
        guard
          let slot = row.slots.indices.first(where: {
            row.slots[$0].node.map { planner.leaving[$0] == .draining } ?? false
          }),
          choose(joining: members(of: index, but: slot), using: &random) != nil
        else { continue }
        if !planner.isEmpty(row.id) {
          guard moving < planner.rules.movesAtOnce, planner.replicas > 1, othersServe(slot, in: row) else {
            continue
          }
          moving += 1
        }
        replace(slot, of: index, using: &random)
      }
    }

    private func othersServe(_ slot: Int, in row: Row) -> Bool {
      row.slots.indices.allSatisfy { other in
        other == slot
          || row.slots[other].state == .full
            && row.slots[other].node.map { planner.inContact.contains($0) } ?? false
      }
    }

    private func members(of index: Int, but slot: Int) -> [NodeID] {
      rows[index].slots.indices.compactMap { $0 == slot ? nil : rows[index].slots[$0].node }
    }

    private mutating func replace(
      _ slot: Int, of index: Int, using random: inout some RandomNumberGenerator
    ) {
      let state: SlotState = planner.isEmpty(rows[index].id) ? .full : .filling
      if let node = rows[index].slots[slot].node, let place = places[node] { loads[place] -= 1 }
      if let place = choose(joining: members(of: index, but: slot), using: &random) {
        rows[index].slots[slot] = GroupSlot(node: planner.candidates[place].node, state: state)
        loads[place] += 1
      } else {
        rows[index].slots[slot] = .vacant
      }
      rows[index].isChanged = true
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
      var lowest = lowestLoad
      for index in rows.indices.shuffled(using: &random) where planner.isEmpty(rows[index].id) {
        let members = rows[index].slots.compactMap(\.node)
        let movable = rows[index].slots.indices.compactMap { slot -> (slot: Int, place: Int, load: Double)? in
          guard let node = rows[index].slots[slot].node, let place = places[node] else { return nil }
          return (slot, place, Double(loads[place]) / weights[place])
        }
        guard let giver = movable.max(by: { $0.load < $1.load }) else { continue }
        // Nobody gains: the candidates need not be looked at for each of the many groups of a new cluster.
        guard giver.load > lowest else { continue }
        let others = members.filter { $0 != planner.candidates[giver.place].node }
        guard let taker = choose(joining: others, below: giver.load, using: &random), taker != giver.place
        else { continue }
        rows[index].slots[giver.slot] = GroupSlot(node: planner.candidates[taker].node, state: .full)
        rows[index].isChanged = true
        loads[giver.place] -= 1
        loads[taker] += 1
        lowest = lowestLoad
      }
    }

    /// What the least loaded node would have with one slot more, for its weight.
    private var lowestLoad: Double {
      zip(loads, weights).map { (Double($0) + 1) / $1 }.min() ?? .infinity
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

import DFSCore
import Testing

@testable import DFSClient

@Suite struct `Who delivers in a race of two replicas` {
  private let first = NodeID(rawValue: 1)
  private let second = NodeID(rawValue: 2)

  private func leaves() throws -> [Digest] { [try #require(Digest([UInt8](repeating: 7, count: 32)))] }

  @Test func `the first that answers wins, the other one stops`() throws {
    var race = ReadRace(offset: 0)
    let leaves = try leaves()
    let claims = [race.claim(second, leaves: leaves), race.claim(first, leaves: [])]
    #expect(claims == [true, false])
    #expect(race.winner == second)
    #expect(race.leaves == leaves)
    let deliveries = [race.startDelivery(by: second), race.startDelivery(by: first)]
    #expect(deliveries == [true, false])
  }

  @Test func `a replica that answers in the instant it is given up delivers nothing`() throws {
    var race = ReadRace(offset: 0)
    let gone = race.giveUp([first])
    #expect(gone == [first])
    let claims = [race.claim(first, leaves: try leaves()), race.claim(second, leaves: try leaves())]
    #expect(claims == [false, true])
  }

  @Test func `a replica that delivers is not given up, and one that was given up delivers no further piece`()
    throws
  {
    var race = ReadRace(offset: 0)
    let begun = [race.claim(first, leaves: try leaves()), race.startDelivery(by: first)]
    #expect(begun == [true, true])
    let duringDelivery = race.giveUp([first])
    #expect(duringDelivery.isEmpty)
    race.delivered(to: 65536)
    #expect(race.offset == 65536)
    let afterwards = race.giveUp([first])
    #expect(afterwards == [first])
    let mayGoOn = race.startDelivery(by: first)
    #expect(!mayGoOn)
  }

  @Test func `the next pair of attempts begins where the bytes ended`() throws {
    var race = ReadRace(offset: 10)
    let leaves = try leaves()
    _ = race.claim(first, leaves: leaves)
    _ = race.giveUp([first])
    race.begin()
    #expect(race.winner == nil)
    #expect(race.offset == 10)
    #expect(race.leaves == leaves)
    let again = race.claim(first, leaves: leaves)
    #expect(again)
  }
}

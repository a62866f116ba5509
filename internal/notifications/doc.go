// Package notifications is a typed client of Amazon's skill development notifications
// API: subscribers, which are topics that a vendor's notifications go to, and
// subscriptions, which say which events go to which subscriber.
//
// What is created has its ID in the answer's Location and nowhere else. Lists come in
// pages of at most 50 and are read whole or not at all.
package notifications

package mongo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
	driver "go.mongodb.org/mongo-driver/mongo"
)

// privilege is what a user may do with a resource, as connectionStatus lists it.
type privilege struct {
	Resource struct {
		DB         *string `bson:"db"`
		Collection *string `bson:"collection"`
		Any        bool    `bson:"anyResource"`
	} `bson:"resource"`
	Actions []string `bson:"actions"`
}

// covers tells whether the privilege is about a collection. An empty name stands for all that are not of the system.
func (p *privilege) covers(database, collection string) bool {
	if p.Resource.Any {
		return true
	}
	db, coll := p.Resource.DB, p.Resource.Collection
	return db != nil && coll != nil && (*db == "" || *db == database) && (*coll == "" || *coll == collection)
}

// CheckRights is a fatal error if the user lacks an action on a collection. Where users are not asked who they are, or the
// server does not tell, it is nil: a write will show.
func CheckRights(ctx context.Context, db *driver.Database, collection string, actions ...string) error {
	var status struct {
		Auth struct {
			Users []struct {
				User string `bson:"user"`
				DB   string `bson:"db"`
			} `bson:"authenticatedUsers"`
			Privileges []privilege `bson:"authenticatedUserPrivileges"`
		} `bson:"authInfo"`
	}
	err := db.Client().Database("admin").RunCommand(ctx, bson.D{{Key: "connectionStatus", Value: 1}, {Key: "showPrivileges", Value: true}}).Decode(&status)
	if Code(err) != 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask MongoDB for the user's rights: %w", Classify(err))
	}
	users := status.Auth.Users
	if len(users) == 0 || len(status.Auth.Privileges) == 0 {
		return nil
	}
	var missing []string
	for _, action := range actions {
		if !slices.ContainsFunc(status.Auth.Privileges, func(p privilege) bool {
			return slices.Contains(p.Actions, action) && p.covers(db.Name(), collection)
		}) {
			missing = append(missing, action)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return Fatal(fmt.Errorf("the user %s of database %s may not %s in %s.%s", users[0].User, users[0].DB, strings.Join(missing, ", "), db.Name(), collection),
		"grant it the role of deploy/mongodb/role.json, or readWrite on "+db.Name())
}
